"""The page in Chromium: python -m feltone_benchmarks.browser --out results/speed/browser.json

Milliseconds per 4-s window in the tab, features and network apart, in both precisions, on one thread and on those
that cross-origin isolation allows. The page itself recognises a recording and notes what every window took (User
Timing); sides take turns. Needs playwright, Chromium and the built page (`make web`). About 3 minutes.
"""

import argparse
import json
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from playwright.sync_api import Browser, Page, expect, sync_playwright

from feltone import artifact, audio
from feltone.doors import browser
from feltone.doors.demo import CLIPS
from feltone.files import write_json
from feltone.lab import provenance
from feltone_benchmarks.harness import Timing, alternated, document
from feltone_benchmarks.report import machine

CHROMIUM = "/usr/bin/chromium"
SWITCHES = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
SECONDS = 24  # of the recording: 21 windows
PATIENCE_MS = 60_000
TARGET_MS = 60.0  # per window, all of it
PARTS = ("features", "network")
ENTRIES = "(part) => performance.getEntriesByName(part).map(({ duration }) => duration)"


@dataclass
class Side:
    """One way to run the page, and what its windows took, by turn and part."""

    name: str
    precision: str
    threads: int  # more than one need isolation
    turns: list[dict[str, list[float]]] = field(default_factory=list)

    def timings(self) -> dict[str, Any]:
        """As they go into JSON: of each part, and of both together."""
        parts = {part: [turn[part] for turn in self.turns] for part in PARTS}
        parts["total"] = [[sum(both) for both in zip(*turn.values(), strict=True)] for turn in self.turns]
        return {"threads": self.threads} | document({part: Timing.of(turns) for part, turns in parts.items()})


def main() -> None:
    """Measure, and write one document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="results/speed/browser.json")
    parser.add_argument("--rounds", type=int, default=10, help="turns of every side")
    parser.add_argument("--chromium", default=CHROMIUM, help=f"default: {CHROMIUM}")
    asked = parser.parse_args()
    most = max(2, min(4, os.cpu_count() or 1))
    counts = {"1": 1, "isolated": most}
    sides = [Side(f"{precision}-{name}", precision, n) for precision in ("fp32", "int8") for name, n in counts.items()]
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=asked.chromium, args=list(SWITCHES))
        version = chromium.version
        measure(sides, chromium, Path(folder), asked.rounds)
        chromium.close()
    told: dict[str, Any] = {"machine": machine(), "chromium": version, "command": provenance.command()}
    told |= {"commit": provenance.commit(), "date": provenance.today(), "target_ms": TARGET_MS}
    told["sides"] = {side.name: side.timings() for side in sides}
    write_json(asked.out, told)
    print(json.dumps(told, indent=1))


def measure(sides: list[Side], chromium: Browser, folder: Path, rounds: int) -> None:
    """Let every side recognise the recording once per round; the round before the first does not count."""
    clips = np.concatenate([audio.load(clip) for clip in sorted(CLIPS.glob("*.flac"))])
    recording = folder / "recording.wav"
    soundfile.write(recording, np.resize(clips, SECONDS * 16_000), 16_000, subtype="PCM_16")
    with ExitStack() as open_sides:
        pages = {side.name: open_sides.enter_context(opened(side, chromium, folder / side.name)) for side in sides}
        for side in sides:
            turn(pages[side.name], recording)
        for side in alternated(sides, rounds):
            side.turns.append(turn(pages[side.name], recording))


@contextmanager
def opened(side: Side, chromium: Browser, folder: Path) -> Iterator[Page]:
    """The page of a side, ready."""
    browser.check(folder)
    browser.write(folder, *browser.model_of(artifact.load(), side.precision))
    handler = partial(Handler if side.threads == 1 else Isolated, directory=str(folder))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    context = chromium.new_context(service_workers="block")
    try:
        page = context.new_page()
        page.goto(f"http://127.0.0.1:{server.server_address[1]}/?threads={side.threads}")
        expect(page.locator("body")).to_have_attribute("data-state", "ready", timeout=PATIENCE_MS)
        yield page
    finally:
        context.close()
        server.shutdown()


def turn(page: Page, recording: Path) -> dict[str, list[float]]:
    """What every window of the recording took, in milliseconds, by part."""
    page.evaluate("() => performance.clearMeasures()")
    page.set_input_files("#file", str(recording))
    windows = SECONDS - 4 + 1
    page.wait_for_timeout(300)  # until the new recording has begun
    expect(page.locator("#status")).to_have_text("", timeout=PATIENCE_MS)
    found = {part: page.evaluate(ENTRIES, part) for part in PARTS}
    if {len(times) for times in found.values()} != {windows}:
        raise RuntimeError(f"the page noted {found}, not {windows} windows")
    return found


class Handler(SimpleHTTPRequestHandler):
    """A plain host of files."""

    extensions_map = SimpleHTTPRequestHandler.extensions_map | {".mjs": "text/javascript", ".wasm": "application/wasm"}

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


class Isolated(Handler):
    """The same, with the headers that make a page cross-origin isolated."""

    def end_headers(self) -> None:
        """Add them."""
        for name, value in browser.ISOLATION.items():
            self.send_header(name, value)
        super().end_headers()


if __name__ == "__main__":
    main()
