"""What the site shows of files that live outside docs/: whole documents as pages, and the pictures they point to.

A document in the repository links to others by their place there; on the site these links lead to the pages made from
them. A link to a file that the site has no page for becomes its name alone.
"""

import os
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
PAGES = {
    "RESULTS.md": "results.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "src/feltone/weights/residual-emodb-crema-d/README.md": "card.md",
}
PICTURES = "results/*/*.png", "results/*/*.svg"
LINK = re.compile(r"(?P<picture>!?)\[(?P<text>[^\]]*)\]\((?P<target>[^)#\s]*)(?P<anchor>#[^)\s]*)?\)")
HEADER = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)  # of a card, for model hubs


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents and pictures from outside docs/."""
    for source, page in PAGES.items():
        text = HEADER.sub("", (ROOT / source).read_text(encoding="utf-8"))
        files.append(File.generated(config, page, content=text))
    for pattern in PICTURES:
        for picture in ROOT.glob(pattern):
            place = picture.relative_to(ROOT).as_posix()
            files.append(File.generated(config, place, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown: str, *, page: Page, files: Files, **_: Any) -> str:
    """Let the links of a page lead to pages of the site."""
    here = page.file.src_uri
    origin = next((source for source, made in PAGES.items() if made == here), f"docs/{here}")

    def relinked(found: re.Match[str]) -> str:
        target = found["target"]
        if not target or ":" in target:
            return found[0]
        place = os.path.normpath(os.path.join(os.path.dirname(origin), target))  # noqa: PTH118, PTH120
        wanted = PAGES.get(place, place.removeprefix("docs/"))
        if files.get_file_from_path(wanted) is None:
            return found["text"] if not found["picture"] else found[0]
        relative = os.path.relpath(wanted, os.path.dirname(here) or ".")  # noqa: PTH120
        return f"{found['picture']}[{found['text']}]({relative}{found['anchor'] or ''})"

    return LINK.sub(relinked, markdown)
