"""One self-contained HTML page: no scripts, nothing from the network, light and dark, readable on a telephone.

Every function returns `Html`; whatever is not `Html` is text and is escaped on its way in, so the name of a recording
cannot become markup.

>>> paragraph("a < b, ", tag("b", "bold"))
'<p>a &lt; b, <b>bold</b></p>'
"""

import base64
import html
import re
import struct
from collections.abc import Iterable, Mapping, Sequence

Content = object  # `Html`, or anything whose text is shown


class Html(str):
    """Markup made by this module; text becomes it only by being escaped."""

    __slots__ = ()


CSS = """
:root{color-scheme:light dark;--ground:#fff;--ink:#1c2126;--soft:#57606a;--line:#d8dee4;--panel:#f6f8fa;--fill:#0072b2;
--faint:#8fb3cc;--alarm:#8f3a00;--alarm-ground:#fff1e5;--alarm-line:#d55e00}
@media (prefers-color-scheme:dark){:root{--ground:#14181c;--ink:#e6eaee;--soft:#9aa4ae;--line:#323a42;--panel:#1d2329;
--fill:#56b4e9;--faint:#3d617b;--alarm:#ffc59e;--alarm-ground:#3a2416;--alarm-line:#e69f00}}
*{box-sizing:border-box}p{margin:.5rem 0 .8rem;max-width:46rem}
body{margin:0 auto;max-width:60rem;padding:2rem 1.25rem 4rem;background:var(--ground);color:var(--ink);
font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
h1{font-size:1.75rem;line-height:1.25;margin:0 0 .5rem}
h2{font-size:1.2rem;margin:2.5rem 0 .6rem;padding-top:1rem;border-top:1px solid var(--line)}
code{font:.9em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--panel);padding:.1em .3em;
border-radius:4px;overflow-wrap:anywhere}
pre{background:var(--panel);padding:.7rem .9rem;border-radius:8px;overflow-x:auto}pre code{padding:0}
.note,.warning{padding:.7rem 1rem;border-radius:8px;border-left:4px solid var(--faint);background:var(--panel)}
.warning{border-color:var(--alarm-line);background:var(--alarm-ground);color:var(--alarm)}
.scroll{overflow-x:auto}table{border-collapse:collapse;margin:.5rem 0 1rem;font-variant-numeric:tabular-nums}
caption,figcaption{text-align:left;color:var(--soft);padding:.4rem 0;font-size:.9rem;max-width:46rem}
th,td{padding:.35rem .9rem .35rem 0;text-align:left;vertical-align:top;border-bottom:1px solid var(--line)}
thead th{color:var(--soft);font-weight:600;font-size:.85rem;vertical-align:bottom}
tbody th{min-width:6rem}td.text{min-width:7rem}.number{text-align:right;white-space:nowrap}figure{margin:1rem 0}
img{display:block;max-width:100%;height:auto;border-radius:8px;background:#fff}
.bars{list-style:none;margin:.5rem 0 1rem;padding:0;max-width:36rem}
.bars li{display:grid;grid-template-columns:7.5rem 1fr 4.5rem;gap:.6rem;align-items:center;padding:.12rem 0}
.name{overflow-wrap:anywhere}.value{text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums}
.track{height:.75rem;background:var(--panel)}.fill{display:block;height:100%;background:var(--faint)}
.track,.fill{border-radius:3px}.best{font-weight:600}.best .fill,.plain .fill{background:var(--fill)}
.cards{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(19rem,100%),1fr));gap:1.1rem;margin:1rem 0}
.card{border:1px solid var(--line);border-radius:10px;padding:1rem;overflow-wrap:anywhere}
.card h3{margin:.7rem 0 .3rem;font-size:1rem}.card p{margin:.2rem 0;color:var(--soft);font-size:.9rem}
.card .bars li{grid-template-columns:5.5rem 1fr 4.2rem;font-size:.9rem}
@media print{body{max-width:none;padding:0}.card,figure{break-inside:avoid}}
""".strip()
# The browser itself is told to load nothing and to run nothing.
POLICY = "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'"


def escape(content: Content) -> Html:
    """Text as markup; `Html` as it is."""
    return content if isinstance(content, Html) else Html(html.escape(str(content)))


def join(parts: Iterable[Content], by: str = "") -> Html:
    """Several contents after one another."""
    return Html(html.escape(by).join(escape(part) for part in parts))


def tag(name: str, *content: Content, **attributes: Content) -> Html:
    """An element; `class_` writes `class`, `aria_label` writes `aria-label`. Attributes are always escaped.

    >>> tag("td", "x & y", class_="number")
    '<td class="number">x &amp; y</td>'
    """
    named = ((key.rstrip("_").replace("_", "-"), html.escape(str(value))) for key, value in attributes.items())
    opening = " ".join([name, *(f'{key}="{value}"' for key, value in named)])
    return Html(f"<{opening}>{join(content)}</{name}>")


def paragraph(*content: Content) -> Html:
    """Running text."""
    return tag("p", *content)


def code(text: str) -> Html:
    """A name or path within running text."""
    return tag("code", text)


def commands(*lines: str) -> Html:
    """Command lines, one below the other."""
    return tag("pre", tag("code", "\n".join(lines)))


def note(*content: Content) -> Html:
    """A remark set apart."""
    return tag("p", *content, class_="note")


def warning(*content: Content) -> Html:
    """What a reader must not miss."""
    return tag("p", tag("strong", "Warning: "), *content, class_="warning", role="note")


def section(title: str, *content: Content) -> Html:
    """A part of the page with its heading."""
    return tag("section", tag("h2", title), *content)


def table(headers: Sequence[Content], rows: Iterable[Sequence[Content]], caption: str = "") -> Html:
    """A table; the first cell of a row is its heading, columns of numbers are aligned to the right.

    Raises `ValueError` where a row is not as long as the headers.
    """
    body = [list(row) for row in rows]
    if any(len(row) != len(headers) for row in body):
        raise ValueError(f"every row needs {len(headers)} cells")
    kinds = ["number" if _numeric([row[k] for row in body]) else "text" for k in range(len(headers))]

    def line(cells: Sequence[Content]) -> Html:
        first = tag("th", cells[0], scope="row", class_=kinds[0])
        others = (tag("td", cell, class_=kind) for cell, kind in zip(cells[1:], kinds[1:], strict=True))
        return tag("tr", first, *others)

    title = [tag("caption", caption)] if caption else []
    head = tag("thead", tag("tr", *(tag("th", h, scope="col", class_=k) for h, k in zip(headers, kinds, strict=True))))
    return tag("div", tag("table", *title, head, tag("tbody", *map(line, body))), class_="scroll")


def image(png: bytes, alt: str) -> Html:
    """A picture, embedded, and shown at half its size in pixels: sharp on dense screens."""
    width, height = (size // 2 for size in struct.unpack(">II", png[16:24]))  # of the PNG's header
    source = f"data:image/png;base64,{base64.b64encode(png).decode()}"
    return Html(f'<img src="{source}" alt="{html.escape(alt)}" width="{width}" height="{height}">')


def figure(png: bytes, alt: str, caption: Content = "") -> Html:
    """A picture with its caption; `alt` says what it shows to whoever does not see it."""
    return tag("figure", image(png, alt), *([tag("figcaption", caption)] if caption else []))


def bars(values: Mapping[str, float | None], best: str | None = None) -> Html:
    """Horizontal bars of fractions between 0 and 1; `best` stands out, None is a dash."""

    def line(name: str, value: float | None) -> Html:
        width = 100 * min(max(value or 0.0, 0.0), 1.0)
        fill = tag("span", class_="fill", style=f"width:{width:.1f}%")
        shown = "–" if value is None else f"{100 * value:.1f} %"
        cells = (("name", name), ("track", fill), ("value", shown))
        return tag("li", *(tag("span", c, class_=k) for k, c in cells), class_="best" if name == best else "")

    kind = "bars plain" if best is None else "bars"
    return tag("ul", *(line(name, value) for name, value in values.items()), class_=kind)


def card(name: str, *content: Content, picture: Html | None = None) -> Html:
    """A small panel: a picture (from `image`), a name, and what belongs to it."""
    return tag("article", *([picture] if picture is not None else []), tag("h3", name), *content, class_="card")


def cards(*content: Html) -> Html:
    """Panels side by side, as many as the window is wide."""
    return tag("div", *content, class_="cards")


def page(title: str, *content: Content) -> str:
    """The whole document."""
    head = (
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
        f"{tag('title', title)}\n<style>{CSS}</style>",
    )
    body = tag("body", tag("main", tag("h1", title), *content))
    return "\n".join(['<!doctype html>\n<html lang="en">\n<head>', *head, "</head>", body, "</html>\n"])


def _numeric(cells: Sequence[Content]) -> bool:
    """Whether a column holds numbers only, or a dash or 'unknown' in their place."""
    return all(re.match(r"[-−+]?\d|–|unknown$", str(cell)) for cell in cells)
