"""The picture of the page in the README: python web/screenshot.py writes docs/page.png.

A bundled clip, in light colours, 1280 pixels wide. Needs playwright, Chromium and the built page
(`make web`).
"""

import tempfile
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

from feltone.doors.demo import CLIPS
from feltone_benchmarks.browser import CHROMIUM, SWITCHES, Side, opened

PICTURE = Path(__file__).parents[1] / "docs" / "page.png"
WINDOW = {"width": 1280, "height": 720}


def main() -> None:
    """Take it."""
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(SWITCHES))
        with opened(Side("page", "int8", 1), chromium, Path(folder) / "page") as page:
            page.set_viewport_size(WINDOW)
            page.emulate_media(color_scheme="light", reduced_motion="reduce")
            page.set_input_files("#file", str(CLIPS / "fear.flac"))
            expect(page.locator("#verdict .where")).to_contain_text("fear, ")
            page.evaluate("() => { document.querySelector('.cost').textContent = '' }")  # another one every time
            page.screenshot(path=PICTURE)
        chromium.close()
    print(PICTURE)


if __name__ == "__main__":
    main()
