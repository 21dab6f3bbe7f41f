"""The service over HTTP: it answers as the recogniser does, and every limit has an answer of its own."""

import io
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import schemathesis
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import CHECKS

import feltone
from feltone import artifact
from feltone.doors.serve import Settings, tokens
from feltone.doors.serve.faults import Fault
from feltone.doors.serve.limits import Places
from feltone.doors.serve.server import listening
from feltone.errors import ConfigError
from feltone.recognizer import Recognizer
from serving import CLIPS, Running, serving, told, until

ANGER = CLIPS / "anger.flac"
NAMES = sorted(CLIPS.glob("*.flac"))
RATE = 16_000


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(threads=1)


@pytest.fixture(scope="module")
def running(recognize: Recognizer) -> Iterator[Running]:
    with serving(recognize, batch_wait_ms=20) as running:
        yield running


def wav(samples: np.ndarray, rate: int = RATE) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV")
    return file.getvalue()


def noise(seconds: float) -> np.ndarray:
    return np.float32(np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)))


def raw(running: Running) -> socket.socket:
    address = httpx.URL(running.url)
    return socket.create_connection((address.host, address.port), timeout=60)


def begun(path: str, length: int, *headers: str) -> bytes:
    """A request whose body has yet to come."""
    lines = [
        f"POST {path} HTTP/1.1",
        "Host: x",
        f"Content-Length: {length}",
        "Content-Type: multipart/form-data; boundary=b",
    ]
    return "\r\n".join([*lines, *headers, "", ""]).encode()


# ---- answers ----


def test_concurrent_requests_are_answered_as_the_recogniser_does_and_in_shared_batches(
    running: Running, recognize: Recognizer
) -> None:
    runs = lambda: running.service.metrics.registry.get_sample_value("feltone_batch_images_count")  # noqa: E731
    images = lambda: running.service.metrics.registry.get_sample_value("feltone_batch_images_sum")  # noqa: E731
    before = runs(), images()
    asked = [NAMES[k % len(NAMES)] for k in range(24)]
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda file: running.post("/v1/predict", file).json(), asked))
    for file, answer in zip(asked, answers, strict=True):
        (found,), expected = answer["predictions"], recognize(file)
        assert found["label"] == expected.label and list(found["scores"]) == list(recognize.labels)
        assert found["scores"] == pytest.approx(expected.scores, abs=1e-5)
        assert found["seconds"] == round(expected.seconds, 3) and found["cut"] is False
    assert images() - before[1] == 24 and runs() - before[0] < 24


def test_several_files_keep_their_order_and_a_bad_one_its_place(running: Running, recognize: Recognizer) -> None:
    answer = running.post("/v1/predict", NAMES[0], b"no recording", NAMES[1])
    assert answer.status_code == 200
    first, bad, last = answer.json()["predictions"]
    assert (first["label"], last["label"]) == (recognize(NAMES[0]).label, recognize(NAMES[1]).label)
    assert [row["file"] for row in (first, bad, last)] == ["0.bin", "1.bin", "2.bin"]
    assert bad["error"]["code"] == "unreadable" and bad["error"]["remedy"]


def test_a_long_recording_is_analysed_to_four_seconds_and_says_so(running: Running) -> None:
    (found,) = running.post("/v1/predict", wav(noise(60))).json()["predictions"]  # spooled: more than a megabyte
    assert (found["seconds"], found["cut"]) == (4.0, True)


def test_a_timeline_is_the_recognisers(running: Running, recognize: Recognizer) -> None:
    speech = np.concatenate(
        [feltone.audio.load(NAMES[0]), np.zeros(6 * RATE, np.float32), feltone.audio.load(NAMES[3])]
    )
    recording = wav(speech)
    answer = running.post("/v1/timeline", recording, params={"hop": 0.5}).json()
    expected = recognize.timeline(io.BytesIO(recording), hop=0.5)
    assert answer["hop"] == 0.5 and len(answer["segments"]) == len(expected.segments)
    for found, segment in zip(answer["segments"], expected.segments, strict=True):
        assert (found["start"], found["end"], found["label"]) == (segment.start, segment.end, segment.label)
        assert found["scores"] == pytest.approx(segment.scores, abs=1e-5)
    assert "silence" in {found["label"] for found in answer["segments"]}


def test_the_model_says_where_it_comes_from_and_what_its_scores_are_not_for(
    running: Running, recognize: Recognizer, tmp_path: Path
) -> None:
    model = running.get("/v1/model").json()
    folder = recognize.artifact.folder
    assert model["labels"] == list(recognize.labels) and model["sha256"] == artifact.digest(folder / "artifact.json")
    assert model["features"]["sample_rate"] == RATE and artifact.DEFAULT_NAME in model["card"]
    assert "nothing is left to test it on" in model["warning"] and model["protocol"] == "all"
    description = json.loads((folder / "artifact.json").read_text())
    description["origin"]["protocol"] = "paper"
    (tmp_path / "model.onnx").write_bytes((folder / "model.onnx").read_bytes())
    flattered = artifact.seal(tmp_path, description)
    with serving(Recognizer(flattered, threads=1)) as other:
        assert "augmented copies in training" in other.get("/v1/model").json()["warning"]


def test_metrics_count_by_route_and_status_and_paths_that_do_not_exist_are_one(running: Running) -> None:
    for path in ("/healthz", "/nowhere", "/wp-login.php", "/v1/predict/x"):
        running.get(path)
    text = running.get("/metrics").text
    assert 'feltone_requests_total{route="/healthz",status="200"}' in text
    assert 'feltone_requests_total{route="other",status="404"}' in text and "wp-login" not in text
    for name in ("request_seconds_bucket", "queue_length", "batch_images_bucket", "open_streams", "images_waiting"):
        assert f"feltone_{name}" in text


# ---- refusals ----


def test_what_cannot_be_read_is_told_with_its_reason(running: Running) -> None:
    assert "empty" in told(running.post("/v1/predict", b""), 422, "unreadable")["message"]
    silence = running.post("/v1/predict", wav(np.zeros(RATE, np.float32)))
    assert "silent" in told(silence, 422, "unreadable")["message"]
    told(running.post("/v1/timeline", b"RIFF"), 422, "unreadable")
    both = told(running.post("/v1/predict", b"", ANGER.read_bytes()[:3_000]), 422, "unreadable")
    assert [row["file"] for row in both["files"]] == ["0.bin", "1.bin"]
    assert all(row["error"]["message"] for row in both["files"])


def test_what_is_no_upload_is_told_apart(running: Running) -> None:
    with running.client() as client:
        told(client.post("/v1/predict", content=ANGER.read_bytes()), 415, "not_multipart")
        told(client.post("/v1/predict", json={"file": "clip.wav"}), 415, "not_multipart")
        told(
            client.post("/v1/predict", content=b"x", headers={"Content-Type": "multipart/form-data"}), 400, "malformed"
        )
        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        told(client.post("/v1/predict", content=b"no boundary in sight", headers=kind), 400, "malformed")
        told(client.post("/v1/predict", content=b"--b--\r\n", headers=kind), 422, "no_file")
        told(client.post("/v1/predict", files={"file": (None, "text")}), 422, "no_file")
        told(client.get("/v1/predict"), 405, "wrong_method")
        told(client.get("/v2/predict"), 404, "no_such_path")


@pytest.mark.parametrize("hop", ["0", "1e-9", "nan", "-1", "4.1", "inf", "often"])
def test_hops_that_make_no_sense_are_refused(running: Running, hop: str) -> None:
    told(running.post("/v1/timeline", ANGER, params={"hop": hop}), 422, "invalid")


def test_bodies_files_and_recordings_have_bounds(recognize: Recognizer) -> None:
    with serving(recognize, max_upload_bytes=200_000, max_files=2, max_seconds=3, upload_seconds=0.3) as running:
        told(running.post("/v1/predict", bytes(300_000)), 413, "too_large")
        with running.client() as client:
            part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\n'
            kind = {"Content-Type": "multipart/form-data; boundary=b"}
            chunks = (chunk for chunk in [part, *[bytes(50_000)] * 6])  # no length is announced
            told(client.post("/v1/predict", content=chunks, headers=kind), 413, "too_large")
        told(running.post("/v1/predict", ANGER, ANGER, ANGER), 413, "too_many_files")
        told(running.post("/v1/timeline", ANGER, ANGER), 413, "too_many_files")
        told(running.post("/v1/timeline", wav(noise(3.5))), 413, "too_long")
        with raw(running) as slow:
            slow.sendall(begun("/v1/predict", 100) + b"--b\r\n")
            assert b"408" in slow.recv(1_000)
        assert running.post("/v1/predict", ANGER, ANGER).status_code == 200
        until(lambda: running.service.uploads.taken == 0)


def test_overload_is_told_and_passes(recognize: Recognizer) -> None:
    with serving(recognize, max_queue=2, batch_wait_ms=300) as running:
        with ThreadPoolExecutor(10) as pool:
            answers = list(pool.map(lambda _: running.post("/v1/predict", ANGER), range(10)))
        served = [answer for answer in answers if answer.status_code == 200]
        refused = [answer for answer in answers if answer.status_code != 200]
        assert len(served) >= 2 and refused
        for answer in refused:
            told(answer, 429, "queue_full")
            assert int(answer.headers["Retry-After"]) >= 1
        assert running.get("/readyz").status_code == 200
        assert running.post("/v1/predict", ANGER).status_code == 200


def test_uploads_that_dawdle_do_not_take_more_than_their_places(recognize: Recognizer) -> None:
    body = b'--b\r\nContent-Disposition: form-data; name="file"; filename="x"\r\n\r\nsound\r\n--b--\r\n'
    with serving(recognize, max_uploads=1) as running, raw(running) as dawdling:
        dawdling.sendall(begun("/v1/predict", len(body)) + body[:10])
        until(lambda: running.service.uploads.taken == 1)
        told(running.post("/v1/predict", ANGER), 429, "too_many_uploads")
        told(running.get("/readyz"), 429, "too_many_uploads")
        assert running.get("/healthz").status_code == 200
        dawdling.sendall(body[10:])
        assert b"422" in dawdling.recv(1_000)
        assert running.post("/v1/predict", ANGER).status_code == 200


def test_a_client_that_leaves_in_the_middle_leaves_nothing_behind(running: Running) -> None:
    with raw(running) as leaving:
        leaving.sendall(begun("/v1/predict", 10_000) + b"--b\r\n")
        until(lambda: running.service.uploads.taken == 1)
    until(lambda: running.service.uploads.taken == 0)
    assert running.service.metrics.registry.get_sample_value(
        "feltone_requests_total", {"route": "/v1/predict", "status": "500"}
    ) in (None, 0.0)


def test_places_are_counted_per_client_and_given_back() -> None:
    places = Places(3, "full", "guests are here", limit_each=2)
    with places.take("a"), places.take("a"):
        with pytest.raises(Fault, match="full") as refused, places.take("a"):
            pass
        assert "your address" in refused.value.message
        with places.take("b"), pytest.raises(Fault, match="full"), places.take("c"):
            pass
    assert places.taken == 0 and not places.full


# ---- who may ask ----


def test_tokens_are_asked_for_where_they_are_set(recognize: Recognizer) -> None:
    with serving(recognize, tokens=frozenset({"first-token", "second"})) as running:
        for header in (
            {},
            {"Authorization": "Bearer wrong"},
            {"Authorization": "Basic second"},
            {"Authorization": "second"},
        ):
            refused = running.get("/v1/model", headers=header)
            told(refused, 401, "unauthorised")
            assert refused.headers["WWW-Authenticate"] == "Bearer"
        with running.client() as client:
            told(client.post("/v1/predict", files={"file": ANGER.read_bytes()}), 401, "unauthorised")
        told(running.get("/metrics"), 401, "unauthorised")
        for token in ("first-token", "second"):
            assert running.get("/v1/model", headers={"Authorization": f"bearer {token}"}).status_code == 200
        assert running.get("/healthz").status_code == running.get("/readyz").status_code == 200
        document = running.get("/openapi.json").json()
        assert document["paths"]["/v1/predict"]["post"]["security"] and "first-token" not in json.dumps(document)


def test_tokens_come_from_the_environment_and_a_file_and_an_empty_one_opens_no_door(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("# ours\nalpha\n\nbeta  # for the page\n")
    assert tokens(file, {"FELTONE_TOKENS": "gamma, delta"}) == {"alpha", "beta", "gamma", "delta"}
    assert tokens(None, {}) == frozenset()
    assert "alpha" not in repr(Settings(tokens=tokens(file, {})))
    file.write_text("# nothing\n")
    for wrong in (
        lambda: tokens(file, {}),
        lambda: tokens(None, {"FELTONE_TOKENS": " "}),
        lambda: tokens(tmp_path, {}),
    ):
        with pytest.raises(ConfigError, match="token"):
            wrong()


def test_pages_of_other_sites_may_ask_only_where_they_are_named(running: Running, recognize: Recognizer) -> None:
    asked = {"Origin": "https://page.example", "Access-Control-Request-Method": "POST"}
    asked["Access-Control-Request-Headers"] = "authorization"
    with running.client() as client:
        assert "access-control-allow-origin" not in client.options("/v1/predict", headers=asked).headers
    options: dict[str, Any] = {"origins": ("https://page.example",), "tokens": frozenset({"t"})}
    with serving(recognize, **options) as open_to_page, open_to_page.client() as client:
        allowed = client.options("/v1/predict", headers=asked)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == "https://page.example"
        foreign = client.options("/v1/predict", headers=asked | {"Origin": "https://other.example"})
        assert "access-control-allow-origin" not in foreign.headers


@pytest.mark.parametrize(
    "wrong",
    [{"max_queue": 0}, {"batch_wait_ms": -1}, {"port": 70_000}, {"origins": ("example.org",)}, {"idle_seconds": 0}],
)
def test_settings_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(wrong)).removesuffix("s")):
        Settings(**wrong)


def test_an_address_that_is_taken_is_told() -> None:
    with listening(Settings(port=0)) as first:
        taken = Settings(port=first.getsockname()[1])
        with pytest.raises(ConfigError, match="cannot listen there"), listening(taken):
            pass


# ---- coming and going ----


def test_a_stop_lets_the_running_request_end_and_tells_newcomers(recognize: Recognizer) -> None:
    with serving(recognize, batch_wait_ms=2_000) as running, ThreadPoolExecutor(1) as pool:
        late = pool.submit(running.post, "/v1/predict", ANGER)
        until(lambda: running.service.queue.taken == 1)
        running.stop()
        until(lambda: running.service.leaving)
        told(running.post("/v1/predict", ANGER), 503, "draining")
        told(running.get("/readyz"), 503, "draining")
        assert running.get("/healthz").status_code == 200
        assert late.result().status_code == 200
        running.thread.join()
    with pytest.raises(httpx.ConnectError):
        running.get("/healthz")


def process(code: str, **environment: str) -> subprocess.Popen[str]:
    program = f"import sys; from feltone.doors.serve import *; sys.exit(serve(None, {code}))"
    return subprocess.Popen(
        [sys.executable, "-c", program],
        stderr=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


def test_a_process_listens_says_so_in_json_and_ends_well_on_sigterm() -> None:
    with process("Settings(port=0, threads=1, tokens=tokens())", FELTONE_TOKENS="s3cret-token") as server:
        assert server.stderr and server.stdout
        listening = json.loads(server.stderr.readline())
        assert listening["event"] == "listening" and listening["url"].startswith("http://127.0.0.1:")
        with httpx.Client(base_url=listening["url"], headers={"Authorization": "Bearer s3cret-token"}) as client:
            files = {"file": ("private-name.flac", ANGER.read_bytes())}
            assert client.post("/v1/predict?also=s3cret-token", files=files, timeout=60).status_code == 200
            client.post("/v1/predict", files={"file": ("private-name.wav", b"RIFF")})
            client.get("/v1/model", headers={"Authorization": "Bearer s3cret-tokem"})
        server.send_signal(signal.SIGTERM)
        said = server.stderr.read()
        assert server.wait() == 0
        assert server.stdout.read() == ""
    lines = [json.loads(line) for line in said.splitlines()]
    assert [line["status"] for line in lines if line["event"] == "request"] == [200, 422, 401]
    assert [line["event"] for line in lines][-2:] == ["draining", "stopped"]
    assert "private" not in said and "s3cret" not in said and "127.0.0.1" not in said


def test_a_process_open_to_others_without_a_token_warns() -> None:
    with process("Settings(host='0.0.0.0', port=0, threads=1)") as server:
        assert server.stderr
        warning = json.loads(server.stderr.readline())
        assert warning["level"] == "warning" and "FELTONE_TOKENS" in warning["event"]
        json.loads(server.stderr.readline())  # it listens: it can be told to stop
        server.send_signal(signal.SIGINT)
        server.stderr.read()
        assert server.wait() == 0


def test_without_the_extra_one_line_says_what_to_install() -> None:
    program = """
import sys
sys.modules["fastapi"] = sys.modules["uvicorn"] = None
from feltone.doors.serve import Settings, serve
from feltone.errors import MissingExtraError
try:
    serve(None, Settings())
except MissingExtraError as fault:
    print(fault)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "pip install 'feltone[serve]'" in done.stdout


# ---- what strangers send ----


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A bundled clip, as flac, wav, ogg or mp3, with bytes flipped, cut out, repeated or cut off."""
    data = bytearray(draw(st.sampled_from(CONTAINERS)))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, min(len(data) - 1, draw(st.sampled_from([64, 4_096, len(data)])))))
        size = draw(st.integers(1, 64))
        match draw(st.sampled_from(["flip", "cut", "repeat", "end", "fill"])):
            case "flip":
                data[at] ^= draw(st.integers(1, 255))
            case "cut":
                del data[at : at + size]
            case "repeat":
                data[at:at] = data[at : at + size]
            case "end":
                del data[max(1, at) :]
            case "fill":
                data[at : at + size] = bytes([draw(st.sampled_from([0, 255]))]) * size
        data = data or bytearray(1)
    return bytes(data)


def containers() -> list[bytes]:
    samples, rate = soundfile.read(ANGER, dtype="float32")
    made = [ANGER.read_bytes()]
    for form in ("WAV", "OGG", "MP3", "AIFF"):
        file = io.BytesIO()
        soundfile.write(file, samples[: rate // 2], rate, format=form)
        made.append(file.getvalue())
    return made


CONTAINERS = containers()
FUZZ = settings(
    max_examples=300, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@FUZZ
@given(data=mutated())
def test_mutated_uploads_are_answered_or_refused(running: Running, data: bytes) -> None:
    answer = running.post("/v1/predict", data)
    if answer.status_code != 200:
        told(answer, answer.status_code, answer.json()["error"]["code"])
        assert 400 <= answer.status_code < 500
    else:
        (found,) = answer.json()["predictions"]
        assert sum(found["scores"].values()) == pytest.approx(1, abs=1e-4)


@settings(FUZZ, max_examples=100)
@given(
    st.binary(max_size=200), st.sampled_from(["b", "", "é", "b; charset=utf-7", "b; charset=rot13", "b; charset=hex"])
)
def test_mutated_bodies_are_refused(running: Running, inside: bytes, boundary: str) -> None:
    name = b'Content-Disposition: form-data; name="file"; filename="+2AA-'
    for body in (
        inside,
        b"--b\r\n" + inside + b"\r\n--b--\r\n",
        b"--b\r\n" + name + inside + b'"\r\n\r\nx\r\n--b--\r\n',
    ):
        with running.client() as client:
            kind = {"Content-Type": f"multipart/form-data; boundary={boundary}".encode()}
            answer = client.post("/v1/predict", content=body, headers=kind)
        assert 400 <= answer.status_code < 500, (body, boundary)
        told(answer, answer.status_code, answer.json()["error"]["code"])


# ---- OpenAPI ----


ASKED = [("/v1/predict", "POST"), ("/v1/timeline", "POST"), ("/v1/model", "GET"), ("/readyz", "GET")]
# What is sound in JSON's eyes need not be sound in a decoder's: that made-up bytes are refused is no failure.
CONFORMING = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)


@pytest.mark.parametrize(("path", "method"), ASKED)
def test_answers_are_what_openapi_says(running: Running, path: str, method: str) -> None:
    operation = schemathesis.openapi.from_url(f"{running.url}/openapi.json")[path][method]
    checks = [check for check in CHECKS.get_all() if check.__name__ in CONFORMING]
    assert len(checks) == len(CONFORMING)

    @settings(FUZZ, max_examples=15)
    @given(case=operation.as_strategy())
    def conforms(case: schemathesis.Case) -> None:
        case.call_and_validate(checks=checks)

    conforms()


def test_every_answer_has_an_example(running: Running) -> None:
    document = running.get("/openapi.json").json()
    shapes = document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for method, asked in methods.items():
            for status, answer in asked["responses"].items():
                (content,) = answer["content"].values()
                shape = shapes.get(content.get("schema", {}).get("$ref", "").rpartition("/")[2], {})
                shown = "example" in content or any("examples" in part for part in shape.get("properties", {}).values())
                assert shown, (path, method, status)
