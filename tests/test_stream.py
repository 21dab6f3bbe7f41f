"""Live streams: answers at every interval, silence told as silence, and an end with a reason for what cannot go on."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import soxr
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection

import feltone
from feltone import audio
from feltone.features import log_mel_image
from feltone.recognizer import Recognizer
from serving import CLIPS, Running, serving, told, until

RATE = 16_000
SPEECH = np.concatenate([audio.load(CLIPS / f"{name}.flac") for name in ("anger", "fear")])
PCM = {"sample_rate": RATE, "format": "pcm16", "interval_ms": 250}


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(threads=1)


@pytest.fixture(scope="module")
def running(recognize: Recognizer) -> Iterator[Running]:
    with serving(recognize, ahead_seconds=15) as running:
        yield running


def pcm16(samples: np.ndarray) -> bytes:
    return np.int16(np.clip(samples, -1, 1) * 32_767).tobytes()


def hear(running: Running, greeting: dict[str, Any], data: bytes, piece: int = 3_001) -> list[dict[str, Any]]:
    """All answers to some audio, sent in pieces that heed no sample's edge."""
    width = 2 if greeting["format"] == "pcm16" else 4
    bytes_per_answer = greeting["sample_rate"] * greeting["interval_ms"] // 1_000 * width
    with running.stream() as stream:
        stream.send(json.dumps(greeting))
        for at in range(0, len(data), piece):
            stream.send(data[at : at + piece])
        return [json.loads(stream.recv(timeout=60)) for _ in range(len(data) // bytes_per_answer)]


def ends(stream: ClientConnection) -> tuple[dict[str, Any], int, str]:
    """The last error of a stream, and how it was closed."""
    error: dict[str, Any] = {}
    with pytest.raises(ConnectionClosed) as closed:
        while True:
            error = json.loads(stream.recv(timeout=60)).get("error", {})
    assert closed.value.rcvd and {"code", "message", "remedy"} == set(error)
    assert closed.value.rcvd.reason == error["code"]
    return error, closed.value.rcvd.code, error["code"]


# ---- answers ----


@pytest.mark.parametrize(
    ("rate", "form", "piece", "late"),
    [(RATE, "pcm16", 3_001, 0), (8_000, "pcm16", 999, 240), (44_100, "float32", 65_536, 240)],
)
def test_answers_come_at_every_interval_and_are_the_recognisers(
    running: Running, recognize: Recognizer, rate: int, form: str, piece: int, late: int
) -> None:
    # Another rate is heard 15 milliseconds late, and otherwise as the whole of it resampled.
    sent = SPEECH if rate == RATE else np.float32(soxr.resample(SPEECH, RATE, rate))
    data = pcm16(sent) if form == "pcm16" else sent.tobytes()
    answers = hear(running, {"sample_rate": rate, "format": form, "interval_ms": 250}, data, piece)
    assert [answer["time"] for answer in answers] == [0.25 * (k + 1) for k in range(len(answers))]
    heard = np.frombuffer(data, np.int16).astype(np.float32) / (1 << 15) if form == "pcm16" else sent
    heard = heard if rate == RATE else soxr.resample(heard, rate, RATE)
    spoken = 0
    for answer in answers:
        assert list(answer["scores"]) == list(recognize.labels)
        if answer["speech"]:
            end = round(answer["time"] * RATE) - late
            start = max(0, end - 4 * RATE) // 64 * 64
            image = log_mel_image(heard[start:end] if start == 0 else heard[start : start + 4 * RATE])
            expected = recognize.images(image[None]).probabilities[0]
            np.testing.assert_allclose(list(answer["scores"].values()), expected, atol=1e-3)
            assert answer["label"] == max(answer["scores"], key=answer["scores"].__getitem__)
            spoken += 1
    assert spoken >= len(answers) - 2  # the voice is noticed within half a second


@pytest.mark.parametrize("level", [0, 1e-3, 0.03])
def test_silence_is_silence_and_runs_no_graph(running: Running, level: float) -> None:
    def runs() -> float | None:
        return running.service.metrics.registry.get_sample_value("feltone_batch_images_sum")

    before = runs()
    noise = np.random.default_rng(0).normal(0, level, 3 * RATE)
    answers = hear(running, PCM, pcm16(noise))
    assert {answer["label"] for answer in answers} == {"silence"} and not any(answer["speech"] for answer in answers)
    assert not any(any(answer["scores"].values()) for answer in answers)
    assert runs() == before


def test_speech_that_ends_becomes_silence_and_comes_back(running: Running) -> None:
    pause = np.zeros(3 * RATE, np.float32)
    answers = hear(running, PCM, pcm16(np.concatenate([SPEECH, pause, SPEECH])))
    seconds = len(SPEECH) / RATE
    spoken = {answer["time"]: answer["speech"] for answer in answers}
    assert not any(speech for time, speech in spoken.items() if seconds + 1.75 < time < seconds + 3)
    assert all(speech for time, speech in spoken.items() if 1 < time < seconds or seconds + 4 < time)


def test_many_streams_at_once_share_runs_and_say_the_same(recognize: Recognizer) -> None:
    with serving(recognize, batch_wait_ms=30, threads=1) as running, ThreadPoolExecutor(6) as pool:
        heard = list(pool.map(lambda _: hear(running, PCM, pcm16(SPEECH)), range(6)))
        for one in heard:
            for answer, first in zip(one, heard[0], strict=True):
                assert list(answer["scores"].values()) == pytest.approx(list(first["scores"].values()), abs=1e-4)
        value = running.service.metrics.registry.get_sample_value
        updates = value("feltone_stream_updates_total", {"speech": "true"}) or 0
        assert value("feltone_batch_images_sum") == updates
        assert (value("feltone_batch_images_count") or 0) < updates
        until(lambda: value("feltone_open_streams") == 0)


# ---- what cannot go on ----


@pytest.mark.parametrize(
    "greeting",
    [
        "hello",
        "",
        "[]",
        "{}",
        b"\x00\x01",
        '{"sample_rate": 0}',
        '{"sample_rate": 1e9}',
        '{"sample_rate": 48000, "format": "mp3"}',
        '{"sample_rate": 48000, "interval_ms": 1}',
        '{"sample_rate": 48000, "channels": 2}',
        '{"sample_rate": NaN}',
        "[" * 100_000,
    ],
)
def test_a_greeting_that_makes_no_sense_is_told(running: Running, greeting: str | bytes) -> None:
    with running.stream() as stream:
        stream.send(greeting)
        error, close, _ = ends(stream)
    assert (error["code"], close) == ("bad_greeting", 1007) and "sample_rate" in error["remedy"]


@pytest.mark.parametrize(
    ("data", "code", "close"),
    [
        ("more text", "not_audio", 1007),
        (np.full(RATE, np.nan, np.float32).tobytes(), "not_sound", 1007),
        (np.full(RATE, np.inf, np.float32).tobytes(), "not_sound", 1007),
        (np.full(RATE, 3e38, np.float32).tobytes(), "not_sound", 1007),
        (bytes(1_000_000), "too_fast", 1008),
    ],
)
def test_audio_that_makes_no_sense_is_told(running: Running, data: str | bytes, code: str, close: int) -> None:
    with running.stream() as stream:
        stream.send(json.dumps(PCM | {"format": "float32"}))
        stream.send(data)
        assert ends(stream)[1:] == (close, code)


def test_any_bytes_are_pcm(running: Running) -> None:
    junk = np.random.default_rng(0).integers(0, 256, 2 * 2 * RATE, dtype=np.uint8).tobytes()
    assert len(hear(running, PCM, junk)) == 8


def test_a_message_beyond_all_bounds_ends_the_stream(running: Running) -> None:
    with running.stream() as stream:
        stream.send(json.dumps(PCM))
        with pytest.raises(ConnectionClosed) as closed:
            stream.send(bytes(2 << 20))
            stream.recv(timeout=60)
    assert closed.value.rcvd is None or closed.value.rcvd.code == 1009
    assert running.get("/healthz").status_code == 200


def test_streams_that_come_and_go_leave_nothing_behind(running: Running) -> None:
    for _ in range(5):
        with running.stream() as stream:
            stream.send(json.dumps(PCM))
            stream.send(bytes(9_000))
    with running.stream() as stream:
        stream.socket.close()  # without a word
    until(lambda: running.service.streams.taken == 0)
    assert running.service.metrics.registry.get_sample_value(
        "feltone_requests_total", {"route": "/v1/stream", "status": "500"}
    ) in (None, 0.0)


def test_streams_are_counted_in_all_and_per_client(recognize: Recognizer) -> None:
    for limits in ({"max_streams": 1}, {"max_streams_per_client": 1}):
        with serving(recognize, **limits) as running:
            with running.stream(), running.stream() as second:
                assert ends(second)[1:] == (1013, "too_many_streams")
            until(lambda service=running.service: service.streams.taken == 0)
            assert hear(running, PCM, bytes(8_000))  # the place is free again


def test_a_stream_that_says_nothing_is_closed(recognize: Recognizer) -> None:
    with serving(recognize, idle_seconds=0.3) as running:
        with running.stream() as mute:
            assert ends(mute)[2] == "idle"
        with running.stream() as stopped:
            stopped.send(json.dumps(PCM))
            stopped.send(bytes(100))
            assert ends(stopped)[2] == "idle"


def test_a_client_that_does_not_read_is_closed(recognize: Recognizer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "feltone.serve")
    with serving(recognize, idle_seconds=1, ahead_seconds=1e6) as running:
        address = running.url.removeprefix("http://").split(":")
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            plain.connect((address[0], int(address[1])))
            with running.stream(sock=plain, max_queue=1) as stream:
                stream.send(json.dumps({"sample_rate": 8_000, "interval_ms": 50}))
                with pytest.raises((ConnectionClosed, OSError, TimeoutError)):
                    for _ in range(100):  # of 10 s each, answered by 200 messages
                        plain.settimeout(20)
                        stream.send(bytes(160_000))
        until(lambda: running.service.streams.taken == 0)
    assert "slow_client" in {getattr(record, "fields", {}).get("reason") for record in caplog.records}


def test_a_stop_sends_streams_home_with_a_reason(recognize: Recognizer) -> None:
    with serving(recognize) as running:
        with running.stream() as silent, running.stream() as talking:
            talking.send(json.dumps(PCM))
            talking.send(pcm16(SPEECH[:RATE]))
            assert json.loads(talking.recv(timeout=60))["time"] == 0.25
            running.stop()
            assert ends(talking)[1:] == (1012, "draining")
            assert ends(silent)[1:] == (1012, "draining")
        running.thread.join()


# ---- who may open one ----


def test_tokens_open_streams_by_header_and_by_subprotocol(recognize: Recognizer) -> None:
    with serving(recognize, tokens=frozenset({"t0ken"})) as running:
        for options in (
            {},
            {"subprotocols": ["bearer", "wrong"]},
            {"additional_headers": {"Authorization": "Bearer x"}},
        ):
            with pytest.raises(InvalidStatus) as refused:
                running.stream(**options)
            response = refused.value.response
            assert response.status_code == 401 and json.loads(response.body or b"")["error"]["code"] == "unauthorised"
        with running.stream(additional_headers={"Authorization": "Bearer t0ken"}) as stream:
            assert stream.subprotocol is None
        with running.stream(subprotocols=["bearer", "t0ken"]) as stream:
            assert stream.subprotocol == "bearer"


def test_pages_of_other_sites_open_no_stream(recognize: Recognizer) -> None:
    with serving(recognize, origins=("https://page.example",)) as running:
        with pytest.raises(InvalidStatus) as refused:
            running.stream(origin="https://evil.example")
        assert refused.value.response.status_code == 403
        for origin in ("https://page.example", running.url):  # the last is the service's own page
            with running.stream(origin=origin) as stream:
                stream.ping()


def test_a_plain_request_is_no_stream(running: Running) -> None:
    told(running.get("/v1/stream"), 404, "no_such_path")


def test_streams_are_live_while_uploads_are_decoded(running: Running) -> None:
    with running.stream() as stream, ThreadPoolExecutor(1) as pool:
        stream.send(json.dumps(PCM))
        upload = pool.submit(running.post, "/v1/timeline", CLIPS / "anger.flac")
        for k in range(8):
            stream.send(pcm16(SPEECH[k * 4_000 : (k + 1) * 4_000]))
            assert json.loads(stream.recv(timeout=60))["time"] == 0.25 * (k + 1)
            time.sleep(0.01)
        assert upload.result().status_code == 200
