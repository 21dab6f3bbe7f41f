"""The page in Chromium, as `feltone serve` serves it: it hears what Feltone hears, and nothing leaves the tab."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
import soundfile
import soxr

import feltone
from feltone import audio
from feltone.doors import browser
from feltone.lab.exported import WEB_PRECISION
from feltone.recognizer import Recognizer
from serving import CLIPS, Running, serving

CHROMIUM = Path("/usr/bin/chromium")
AXE = Path(__file__).parents[1] / "web" / "node_modules" / "axe-core" / "axe.min.js"
WITHIN = 2e-2  # of a probability: what int8 may differ by, computed by another processor or in a tab
RATE = 16_000
SWITCHES = (
    *("--no-sandbox", "--disable-gpu", "--no-first-run"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
    *("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream"),
)

if not CHROMIUM.exists():
    pytest.skip(f"needs Chromium at {CHROMIUM}", allow_module_level=True)
if not browser.built():
    pytest.skip("needs the built page: make web", allow_module_level=True)
sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
expect = sync_api.expect
expect.set_options(timeout=60_000)


@pytest.fixture(scope="module")
def recognize() -> Recognizer:
    return feltone.load(precision=WEB_PRECISION, threads=1)


@pytest.fixture(scope="module")
def running(recognize: Recognizer) -> Iterator[Running]:
    with serving(recognize) as running:
        yield running


@pytest.fixture(scope="module")
def launch() -> Iterator[Callable[..., Any]]:
    """Starts a Chromium with more switches; all are closed with the module."""
    with sync_api.sync_playwright() as playwright:
        started: list[Any] = []

        def start(*more: str) -> Any:
            started.append(playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*SWITCHES, *more]))
            return started[-1]

        yield start
        for one in started:
            one.close()


@pytest.fixture(scope="module")
def chromium(launch: Callable[..., Any]) -> Any:
    return launch()


@dataclass
class Tab:
    """A tab with the page in it, and all it asked for or complained of."""

    page: Any
    context: Any
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def give(self, file: Path) -> None:
        """Choose a file and wait until all of it was recognised."""
        self.page.set_input_files("#file", str(file))
        expect(self.page.locator("#verdict .where")).to_contain_text(f"{file.stem}, ")
        expect(self.page.locator("#status")).to_have_text("")

    def saved(self, kind: str) -> str:
        with self.page.expect_download() as download:
            self.page.click(f"#{kind}")
        return Path(download.value.path()).read_text(encoding="utf-8")


@contextmanager
def tab(chromium: Any, url: str, **options: Any) -> Iterator[Tab]:
    """The page, ready; afterwards nothing was complained of and nothing left its origin."""
    context = chromium.new_context(permissions=["microphone"], **options)
    opened = Tab(context.new_page(), context)
    context.on("request", lambda request: opened.requests.append(request.url))
    context.on("console", lambda message: opened.complaints.append(f"{message.type}: {message.text}"))
    opened.page.on("pageerror", lambda fault: opened.complaints.append(str(fault)))
    try:
        opened.page.goto(url)
        expect(opened.page.locator("body")).to_have_attribute("data-state", "ready")
        yield opened
        assert not opened.complaints
        ours = urlsplit(url).netloc
        assert not [sent for sent in opened.requests if urlsplit(sent).netloc != ours and not sent.startswith("blob:")]
    finally:
        context.close()


def wav(folder: Path, name: str, samples: np.ndarray, rate: int = RATE) -> Path:
    soundfile.write(folder / f"{name}.wav", samples, rate, subtype="PCM_16")
    return folder / f"{name}.wav"


def ten_clips(folder: Path, corpora: Path | None) -> list[Path]:
    """Five bundled clips as wav, the rest of them or EmoDB's as they are, one also in stereo at 44.1 kHz."""
    bundled = sorted(CLIPS.glob("*.flac"))
    clips = [wav(folder, clip.stem, audio.load(clip)) for clip in bundled[:5]]
    more = audio.find(corpora / "emodb")[::120] if corpora and (corpora / "emodb").is_dir() else bundled[5:]
    high = soxr.resample(audio.load(bundled[3]), RATE, 44_100)
    stereo = wav(folder, "stereo", np.stack([high, 0.5 * high], axis=1), 44_100)
    return [*clips, *more[:4], stereo]


def test_files_are_heard_as_feltone_hears_them(
    chromium: Any, running: Running, recognize: Recognizer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    try:
        corpora = request.getfixturevalue("corpora_root")
    except pytest.skip.Exception:
        corpora = None
    with tab(chromium, running.url) as opened:
        for clip in ten_clips(tmp_path, corpora):
            opened.give(clip)
            heard, expected = json.loads(opened.saved("json")), recognize.timeline(clip)
            agree(heard["segments"], expected.segments, clip.name)


def agree(found: list[dict[str, Any]], expected: Any, name: str = "") -> None:
    assert [(row["start"], row["end"]) for row in found] == [(one.start, one.end) for one in expected], name
    for row, one in zip(found, expected, strict=True):
        assert row["scores"] == pytest.approx(one.scores, abs=WITHIN), name
        first, second = sorted(one.scores.values())[:-3:-1]
        if first - second > 2 * WITHIN or one.label == "silence":
            assert row["label"] == one.label, name


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty seconds of speech with five of digital silence within."""
    clips = [audio.load(clip) for clip in sorted(CLIPS.glob("*.flac"))]
    return wav(tmp_path_factory.mktemp("long"), "a long talk", np.concatenate([*clips, np.zeros(5 * RATE), clips[0]]))


def test_a_long_recording_is_feltones_timeline_and_its_files_have_feltones_form(
    chromium: Any, running: Running, long: Path
) -> None:
    expected = feltone.load(precision=WEB_PRECISION, threads=1).timeline(long)
    with tab(chromium, running.url) as opened:
        opened.give(long)
        text = opened.saved("json")
        heard = json.loads(text)
        agree(heard["segments"], expected.segments)
        assert "silence" in {row["label"] for row in heard["segments"]}
        segments = tuple(feltone.timeline.Segment(**row) for row in heard["segments"])
        same = feltone.timeline.Timeline(heard["name"], heard["hop"], segments)
        assert (text, opened.saved("csv")) == (same.to_json(), same.to_csv()) and same.name == "a long talk"


def test_windows_are_chosen_by_key_by_pointer_and_by_playing(chromium: Any, running: Running, long: Path) -> None:
    with tab(chromium, running.url) as opened:
        opened.give(long)
        page, where = opened.page, opened.page.locator("#verdict .where")
        page.focus("#window")
        for _ in range(3):
            page.keyboard.press("ArrowRight")
        expect(where).to_have_text("a long talk, 3.0–7.0 s")
        expect(page.locator("#window")).to_have_attribute("aria-valuetext", re.compile(r"^3\.0 to 7\.0 s: \w+ \d+ %$"))
        box = page.locator("#ribbon").bounding_box()
        page.mouse.click(box["x"] + 0.999 * box["width"], box["y"] + 20)
        last = where.text_content()
        expect(where).not_to_have_text("a long talk, 3.0–7.0 s")
        page.mouse.click(box["x"] + 1, box["y"] + 20)
        expect(where).to_have_text("a long talk, 0.0–4.0 s")
        page.click("#play")
        expect(where).to_have_text("a long talk, 1.0–5.0 s")  # once 2.5 s were played
        expect(page.locator("#timeline .cursor")).to_be_visible()
        assert float(page.locator("#clock").text_content().split()[0]) >= 2.5 and last != where.text_content()
        page.click("#play")


def test_live_sound_is_answered_as_it_comes_and_becomes_a_recording(
    launch: Callable[..., Any], running: Running, tmp_path: Path
) -> None:
    clips = [audio.load(CLIPS / f"{name}.flac") for name in ("anger", "boredom")]
    spoken = soxr.resample(np.concatenate([*clips, np.zeros(3 * RATE, np.float32)]), RATE, 48_000)
    microphone = f"--use-file-for-fake-audio-capture={wav(tmp_path, 'microphone', spoken, 48_000)}%noloop"
    with tab(launch(microphone), running.url) as opened:
        page = opened.page
        page.click("#speak")
        expect(page.locator("#verdict .where")).to_contain_text("the last")
        shown = set()
        for _ in range(25):
            shown.add(page.locator("#verdict .sure").text_content())
            page.wait_for_timeout(100)
        assert len(shown) > 3, "the probabilities move"
        expect(page.locator("#verdict h2")).to_have_text("silence")  # the file has ended
        page.click("#speak")
        expect(page.locator("#status")).to_have_text("")
        expect(page.locator("#verdict .where")).to_contain_text("spoken-1")
        heard = json.loads(opened.saved("json"))
        labels = {row["label"] for row in heard["segments"]}
        assert heard["name"] == "spoken-1" and labels - {"silence"}


def test_what_cannot_be_heard_is_told_in_one_line(chromium: Any, running: Running, tmp_path: Path) -> None:
    (tmp_path / "text.wav").write_text("no recording")
    (tmp_path / "empty.wav").write_bytes(b"")
    quiet = wav(tmp_path, "quiet", np.zeros(RATE))
    with tab(chromium, running.url) as opened:
        page, fault = opened.page, opened.page.locator("#fault p")
        for file, words in (("text", "cannot be decoded here: convert it"), ("empty", "is empty: choose another")):
            page.set_input_files("#file", str(tmp_path / f"{file}.wav"))
            expect(fault).to_contain_text(f"{file}.wav {words}")
        page.set_input_files("#file", str(quiet))
        expect(fault).to_contain_text("quiet is silent")
        expect(page.locator("#verdict h2")).to_have_text("silence")
        page.click("#fault button")
        expect(fault).to_be_hidden()


@pytest.mark.parametrize(
    ("refusal", "line"), [("NotAllowedError", "is not allowed here"), ("NotFoundError", "No microphone was found")]
)
def test_a_microphone_that_cannot_be_had_is_told_with_what_to_do(
    chromium: Any, running: Running, refusal: str, line: str
) -> None:
    with tab(chromium, running.url) as opened:
        refuse = f"navigator.mediaDevices.getUserMedia = () => Promise.reject(new DOMException('no', '{refusal}'))"
        opened.page.evaluate(f"() => {{ {refuse} }}")
        opened.page.click("#speak")
        expect(opened.page.locator("#fault p")).to_contain_text(line)
        expect(opened.page.locator("#speak")).to_be_enabled()


@pytest.mark.parametrize(
    ("address", "change", "line"),
    [
        (
            "model.json",
            lambda text: text.replace('"formula": "image', '"formula": "other'),
            "export both with one version",
        ),
        ("model.json", lambda text: spoiled(text), "does not answer here as it did"),
        ("model.onnx*", None, "cannot be fetched"),
    ],
    ids=["another golden input", "another golden answer", "no graph"],
)
def test_a_model_that_cannot_be_trusted_is_refused(
    chromium: Any, running: Running, address: str, change: Callable[[str], str] | None, line: str
) -> None:
    def answer(route: Any) -> None:
        if change is None:
            route.fulfill(status=404)
        else:
            route.fulfill(response=(fetched := route.fetch()), body=change(fetched.text()))

    context = chromium.new_context(service_workers="block")
    page = context.new_page()
    page.route(f"**/model/{address}", answer)
    page.goto(running.url)
    expect(page.locator("#fault p")).to_contain_text(line)
    expect(page.locator("#speak")).to_be_disabled()
    context.close()


def spoiled(text: str) -> str:
    record = json.loads(text)
    record["golden"]["probabilities"].reverse()
    return json.dumps(record)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
def test_nobody_is_shut_out(chromium: Any, running: Running, long: Path, theme: str, width: int) -> None:
    if not AXE.exists():
        pytest.skip("needs axe-core: npm ci --prefix web")
    options = {"color_scheme": theme, "viewport": {"width": width, "height": 800}, "reduced_motion": "reduce"}
    with tab(chromium, running.url, **options) as opened:
        page = opened.page
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.locator("html").get_attribute("data-theme") == theme
        check(page)
        opened.give(long)
        check(page)
        page.click("#about")
        check(page)
        page.keyboard.press("Escape")
        page.set_input_files("#file", files=[{"name": "x.wav", "mimeType": "audio/wav", "buffer": b"x"}])
        expect(page.locator("#fault")).to_be_visible()
        check(page)
        assert page.evaluate("() => document.documentElement.scrollWidth") <= width


def check(page: Any) -> None:
    found = page.evaluate(
        "async () => (await axe.run()).violations.map(({id, nodes}) => [id, nodes.map((n) => n.html)])"
    )
    assert found == []


def test_everything_can_be_reached_by_keyboard(chromium: Any, running: Running) -> None:
    with tab(chromium, running.url) as opened:
        reached = []
        for _ in range(12):
            opened.page.keyboard.press("Tab")
            reached.append(opened.page.evaluate("() => document.activeElement.id || document.activeElement.className"))
        assert {"about", "theme", "speak", "choose", "example"} <= set(reached)


def test_the_colours_stay_as_chosen(chromium: Any, running: Running) -> None:
    with tab(chromium, running.url, color_scheme="light") as opened:
        opened.page.click("#theme")
        expect(opened.page.locator("#theme")).to_have_attribute("aria-pressed", "true")
        opened.page.reload()
        expect(opened.page.locator("html")).to_have_attribute("data-theme", "dark")
        expect(opened.page.locator("body")).to_have_attribute("data-state", "ready")


def test_after_the_first_visit_it_works_without_a_network(
    chromium: Any, running: Running, recognize: Recognizer
) -> None:
    with tab(chromium, running.url) as opened:
        page, context = opened.page, opened.context
        page.evaluate("async () => { await navigator.serviceWorker.ready }")
        context.set_offline(True)
        page.reload()
        expect(page.locator("body")).to_have_attribute("data-state", "ready")
        page.click("text=Im Keller")
        expect(page.locator("#verdict h2")).to_have_text(recognize(CLIPS / "fear.flac").label)
        assert page.evaluate("() => crossOriginIsolated"), "threads work from the cache as well"


def test_the_page_itself_forbids_to_send_anything_elsewhere(chromium: Any, running: Running) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.goto(running.url)
    send = "async () => { try { await fetch('http://127.0.0.1:9/'); return 'sent' } catch { return 'refused' } }"
    with page.expect_event("console", lambda message: "Content Security Policy" in message.text):
        assert page.evaluate(send) == "refused"
    context.close()
