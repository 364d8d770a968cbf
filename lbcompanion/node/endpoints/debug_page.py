"""The debug page as HTML: its JSON as tables, with page and copy side by side in sandboxed frames."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from lbcompanion.http1.heads import Field

#: A page shown in it runs no scripts, loads nothing and cannot navigate.
GUARD: Field = (
    b"Content-Security-Policy",
    b"sandbox allow-forms; default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'",
)
_STYLE = (
    "body{font:15px/1.5 sans-serif;margin:1.5rem;color:#222}table{border-collapse:collapse;margin:.5rem 0 1.5rem}"
    "td,th{border:1px solid #ccc;padding:.2rem .6rem;text-align:left;vertical-align:top}th{background:#f4f4f4}"
    ".pair{display:flex;gap:1rem}.pair>div{flex:1;min-width:0}iframe{width:100%;height:20rem;border:1px solid #999}"
    "pre{overflow:auto;max-height:30rem;background:#f8f8f8;padding:.5rem;white-space:pre-wrap}"
)


def wants_html(accept: bytes | None) -> bool:
    """Whether ``Accept`` names HTML, as browsers do."""
    return accept is not None and b"text/html" in accept.lower()


def render(report: Mapping[str, Any]) -> bytes:
    """Render the report as HTML."""
    copy, compared = dict(report.get("copy", {})), dict(report.get("compared", {}))
    texts = (copy.pop("page_text", None), copy.pop("text", None))
    now = (compared.pop("page_text", None), compared.pop("text", None))
    parts = [
        f"<!DOCTYPE html><html lang=en><meta charset=utf-8><title>{escape(report['node'])}: debug</title>",
        f"<style>{_STYLE}</style><h1>Node {escape(report['node'])}</h1>",
        "<form><input name=url size=40 placeholder='/path?query'> <input name=cookie size=40 placeholder='Cookie'>"
        " <input name=answer size=40 placeholder='Content-Type: text/html'> <button>What is decided?</button>"
        " <button name=compare value=1>Ask the application, show page and copy</button></form>"
        "<form><input name=token size=60 placeholder=token> <button>Show the copy</button></form>",
        _section("Caller", report["caller"]),
    ]
    if "decision" in report:
        parts.append(_section("Decision", report["decision"]))
    if compared:
        parts.append(_section("The page now", compared))
        parts.append(_pair(("The page, as a visitor gets it", now[0]), ("The copy that would be kept", now[1])))
    if copy:
        parts.append(_section("Copy", copy))
        parts.append(_pair(("The page, rebuilt from the copy", texts[0]), ("The copy", texts[1])))
    parts.append(_section("Connections to the application", report.get("upstream", {})))
    parts.append(_section("Counted", report["counted"]))
    parts.append(_section("Latest decisions", report["recent"]))
    parts.append(_section("Settings", report["settings"]))
    return "".join(parts).encode("utf-8", "replace")


def _pair(*both: tuple[str, str | None]) -> str:
    return "<div class=pair>" + "".join(_page_view(title, text) for title, text in both if text is not None) + "</div>"


def _page_view(title: str, text: str) -> str:
    """A page in a sandboxed frame, and its source."""
    escaped = escape(text)
    return f'<div><h2>{title}</h2><iframe sandbox="" srcdoc="{escaped}"></iframe><pre>{escaped}</pre></div>'


def _section(title: str, value: object) -> str:
    return f"<h2>{escape(title)}</h2>{_cell(value)}"


def _cell(value: object) -> str:
    if isinstance(value, Mapping):
        rows = "".join(f"<tr><th>{escape(str(key))}<td>{_cell(entry)}" for key, entry in value.items())
        return f"<table>{rows}</table>" if rows else "none"
    if isinstance(value, list):
        return _rows(value)
    return escape(str(value))


def _rows(value: list[object]) -> str:
    if not value:
        return "none"
    if not all(isinstance(row, Mapping) for row in value):
        return "<br>".join(_cell(row) for row in value)
    maps = [row for row in value if isinstance(row, Mapping)]
    head = "".join(f"<th>{escape(str(key))}" for key in maps[0])
    body = "".join("<tr>" + "".join(f"<td>{_cell(entry)}" for entry in row.values()) for row in maps)
    return f"<table><tr>{head}{body}</table>"
