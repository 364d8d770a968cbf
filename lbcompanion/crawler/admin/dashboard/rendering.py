"""Templates and files of the dashboard, and how values are shown: times, sizes, counts."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from itertools import pairwise
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from lbcompanion.crawler.admin.endpoint import Response, html_response

_HERE = Path(__file__).parent
_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_THOUSAND = 1000
# What is shown without decimals as 1000.
_ROUNDED_TO_THOUSAND = 999.5
_REMOVED = {
    "elements": ("masked element", "masked elements"),
    "blocks": ("excluded block", "excluded blocks"),
    "documents": ("embedded document", "embedded documents"),
}
_LENGTHS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(when=when, size=size, number=number, duration=duration, removed_parts=removed_parts)
    return made


def when(text: str | None) -> Markup:
    """Show a time of the API: in UTC, which the script changes to the reader's time zone."""
    if not text:
        return Markup("")
    shown = f"{text[:10]} {text[11:19]} UTC"
    return Markup('<time datetime="{}" title="{}">{}</time>').format(text, shown, shown)


def size(count: int | None) -> str:
    """Show a number of bytes in the unit that people read: 1 kB is 1,000 bytes."""
    if count is None:
        return ""
    value, unit = float(count), 0
    while value >= (_ROUNDED_TO_THOUSAND if unit else _THOUSAND) and unit < len(_UNITS) - 1:
        value, unit = value / _THOUSAND, unit + 1
    return f"{count} B" if unit == 0 else f"{value:.{0 if value >= 100 else 1}f} {_UNITS[unit]}"


def number(value: float | None) -> str:
    """Show a count with separators between thousands."""
    return "" if value is None else f"{int(value):,}"


def duration(seconds: float | None) -> str:
    """Show a length of time in the unit that fits, such as ``340 ms``, ``12.0 s``, ``3 min 20 s``, ``2 d 4 h``."""
    if seconds is None:
        return ""
    if seconds < 0.9995:  # not 1000 ms
        return f"{seconds * 1000:.0f} ms"
    seconds = round(seconds, 1)
    for (unit, length), (smaller, part) in pairwise(_LENGTHS):
        if seconds >= length:
            rest = int(seconds % length // part)
            return f"{int(seconds // length)} {unit}" + (f" {rest} {smaller}" if rest else "")
    return f"{seconds:.1f} s"


def removed_parts(removed: Mapping[str, int] | None) -> str:
    """Show how many parts of a page its copy lacks; empty if it lacks nothing, or if that is not known.

    :param removed: as in the API.
    """
    found = []
    for kind, words in _REMOVED.items():
        count = (removed or {}).get(kind, 0)
        if count:
            found.append(f"{count:,} {words[count != 1]}")
    return ", ".join(found)


_ENVIRONMENT = _environment()


def render(template: str, **values: Any) -> str:
    """Fill in a template.

    :param template: the name of its file.
    :param values: what it shows; all texts are escaped.
    """
    return _ENVIRONMENT.get_template(template).render(**values)


def static(name: str) -> bytes:
    """Return a file that browsers load."""
    return (_HERE / "static" / name).read_bytes()


def error_page(status: int, why: str) -> Response:
    """Return the page of an error."""
    return html_response(
        render("error.html", here="", status=status, phrase=HTTPStatus(status).phrase, why=why), status
    )
