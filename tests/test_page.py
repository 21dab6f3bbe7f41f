"""The page: nothing a recording is called can become markup, and nothing outside the file is needed to read it."""

import doctest
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from feltone import page
from feltone.page import Html

EVIL = '<script>alert("x")</script>\' onerror="steal()" & <img src=x>'
# The smallest PNG: one grey pixel.
PNG = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c636800000082008177cd72b6"
    "0000000049454e44ae426082"
)
VOID = {"meta", "img", "br"}


class Reader(HTMLParser):
    """Elements, attributes and text as a browser would see them; fails on elements that do not nest."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def everything(text: str) -> str:
    """A page with `text` wherever text can stand."""
    return page.page(
        text,
        text,
        page.paragraph(text, page.code(text)),
        page.note(text),
        page.warning(text),
        page.commands(text, text),
        page.section(text, page.table([text, "n"], [[text, 1.5], [text, 2]], caption=text)),
        page.figure(PNG, text, text),
        page.cards(
            page.card(text, text, page.bars({text: 0.4, "other": None}, best=text), picture=page.image(PNG, text))
        ),
        page.tag("span", text, title=text, aria_label=Html(text)),
    )


def test_the_examples_in_the_docstrings_are_true():
    assert doctest.testmod(page).failed == 0


def test_text_stays_text_wherever_it_stands():
    harmless, evil = Reader(everything("harmless")), Reader(everything(EVIL))
    assert [tag for tag, _ in evil.elements] == [tag for tag, _ in harmless.elements]
    assert [set(a) for _, a in evil.elements] == [set(a) for _, a in harmless.elements]
    assert evil.text.count(EVIL) == harmless.text.count("harmless") >= 14
    assert {a["alt"] for a in evil.of("img")} == {EVIL}


def test_what_comes_out_of_strings_is_text_again():
    markup = page.tag("b", "x")
    assert page.escape(markup) == "<b>x</b>"
    for made in (markup + "<i>", markup.upper(), f"{markup}<i>", markup.replace("x", "<i>")):
        assert not isinstance(made, Html)
        assert "<" not in page.escape(made)


def test_the_page_needs_nothing_but_itself():
    text = everything("name")
    reader = Reader(text)
    assert not reader.of("script") and not reader.of("link") and not reader.of("iframe")
    assert all(image["src"].startswith("data:image/png;base64,") for image in reader.of("img"))
    assert not re.search(r"url\(|@import|https?:", text)
    policy = next(m["content"] for m in reader.of("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert "default-src 'none'" in policy and "script" not in policy


def test_the_page_can_be_read_by_everyone():
    text = everything("name")
    reader = Reader(text)
    assert text.startswith("<!doctype html>")
    assert reader.of("html") == [{"lang": "en"}]
    assert any(m.get("name") == "viewport" for m in reader.of("meta"))
    assert all(image["alt"] for image in reader.of("img"))
    assert [h["scope"] for h in reader.of("th")] == ["col", "col", "row", "row"]
    assert "prefers-color-scheme:dark" in text and len(reader.of("main")) == 1


def test_columns_of_numbers_are_aligned_to_the_right():
    made = page.table(
        ["name", "share", "mixed"], [["a", "12.5", "1"], ["b", "–", "many"], ["c", -3, "2"], ["d", "unknown", ""]]
    )
    kinds = [cell["class"] for cell in Reader(made).of("td")]
    assert kinds == ["number", "text"] * 4


def test_a_row_of_the_wrong_length_is_refused():
    with pytest.raises(ValueError, match="2 cells"):
        page.table(["a", "b"], [["only one"]])


def test_bars_are_as_long_as_their_values_and_never_longer_than_the_track():
    made = page.bars({"a": 0.25, "b": 1.7, "c": None}, best="a")
    widths = [span["style"] for span in Reader(made).of("span") if "style" in span]
    assert widths == ["width:25.0%", "width:100.0%", "width:0.0%"]
    assert [item["class"] for item in Reader(made).of("li")] == ["best", "", ""]
    assert "25.0 %" in made and "–" in made


def test_pictures_are_shown_at_half_their_pixels():
    wide = PNG[:16] + (560).to_bytes(4) + (340).to_bytes(4) + PNG[24:]
    assert 'width="280" height="170"' in page.image(wide, "alt")


def test_the_core_page_needs_neither_torch_nor_matplotlib():
    source = Path(page.__file__).read_text(encoding="utf-8")
    assert set(re.findall(r"^(?:import|from) (\w+)", source, re.MULTILINE)) <= {
        "base64",
        "collections",
        "html",
        "re",
        "struct",
    }
