"""Finds the parts of a page that would be live in a browser."""

from __future__ import annotations

from html.parser import HTMLParser


class Live(HTMLParser):
    """Collects the live parts of a page: scripts, and frames without a sandbox."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.frames: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        if tag == "iframe":
            assert told["sandbox"] == ""
            self.frames.append(told["srcdoc"] or "")
        elif tag in ("script", "img", "object", "embed", "link", "a", "meta") and "charset" not in told:
            self.found.append(tag)
