"""Rewrites the documents of a recording: its page, a style sheet, a drawing that is shown in a frame. Blocking."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from attrs import field, frozen

from lbcompanion.crawler.replay.addresses import REPLAY_PREFIX, ReplayAddresses
from lbcompanion.crawler.replay.css_rewriting import NOTHING, rewrite_css
from lbcompanion.crawler.replay.html_rewriting import RewrittenPage, Use, rewrite_page
from lbcompanion.crawler.replay.recorded_files import Recorded
from lbcompanion.html.charset import content_type_charset
from lbcompanion.html.css_urls import CssUrlPlace, decode_style_sheet
from lbcompanion.html.requisite_links import page_encoding
from lbcompanion.html.urls import resolve_url

#: How the reason begins of a file that was not asked for because a limit was reached: another recording may have it.
LIMITS = ("more than ", "not requested after ")
#: Where the listener for scripts has the script that runs before those of a page.
PROLOGUE_PATH = "/before-scripts.js"
_SHOWN_CHARS = 48


@frozen
class Replayed:
    """One recording, as far as its replay needs it.

    :ivar row: of the recording.
    :ivar others: recordings near it, whose files are shown where this one was stopped by a limit.
    :ivar prefix: what the addresses of its replay begin with.
    :ivar has_scripts: whether its page keeps its scripts.
    """

    token: str
    url: str
    row: Any = field(repr=False)
    recorded: Recorded
    reasons: Mapping[str, str] = field(repr=False, factory=dict)
    others: tuple[Recorded, ...] = field(repr=False, default=())
    prefix: str = REPLAY_PREFIX
    has_scripts: bool = False

    def addresses(self, encoding: str) -> ReplayAddresses:
        """Return what stands in the place of addresses in a document of this encoding."""
        return ReplayAddresses(self.token, encoding, self.recorded.files, self.reasons, self.lent(), self.prefix)

    def lent(self) -> frozenset[str]:
        """Return the files that the others have and this one lacks only because of a limit, or for no known reason."""
        urls = {url for each in self.others for url in each.files if url not in self.recorded.files}
        return frozenset(url for url in urls if url not in self.reasons or self.reasons[url].startswith(LIMITS))

    def page(self, body: bytes) -> RewrittenPage:
        """Rewrite the page."""
        content_type = self.recorded.content_type or self.row["content_type"] or ""
        resolve = self.addresses(page_encoding(body, content_type))
        return rewrite_page(body, self.url, content_type, resolve, self._prologue if self.has_scripts else None)

    def _prologue(self, base: str) -> bytes:
        """Return the tag of the script that runs before the page's own; it knows the page's files and time."""
        viewed = f"{self.row['viewed_at'] * 1000:.0f}"
        values = f'data-prefix="{self.prefix}/{self.token}/" data-base="{escape(base)}" data-viewed="{viewed}"'
        return f'<script src="{PROLOGUE_PATH}" {values}></script>'.encode("utf-8", "replace")

    def style_sheet(self, body: bytes, url: str, content_type: str, environment: str) -> bytes:
        """Rewrite a style sheet; it is in UTF-8 then."""
        declared = content_type_charset(content_type.encode("latin-1", "replace")) or ""
        text, encoding = decode_style_sheet(body, declared, environment)
        resolve = self.addresses(encoding)

        def replaced(place: CssUrlPlace) -> str:
            written = place.url.strip()
            if written.lower().startswith("data:") and not place.is_imported:
                return written
            fragment = written.partition("#")[2]
            address = resolve_url(url, place.url, "utf-8" if place.is_imported else encoding)
            found = resolve(Use.STYLE if place.is_imported else Use.FILE, address).address if address else ""
            return f"{found}#{fragment}" if found and fragment else found or NOTHING

        return rewrite_css(text, replaced).encode("utf-8", "replace")

    def drawing(self, body: bytes, url: str) -> bytes:
        """Rewrite an SVG file for a frame, as a page that has nothing else."""
        page = rewrite_page(body, url, "text/html", self.addresses(page_encoding(body, "image/svg+xml")))
        return b"<!doctype html><style>html,body{margin:0;height:100%}</style>" + page.body


def small_placeholder(reason: str, url: str) -> str:
    """Return a drawing of an icon's size: most images that a script adds are icons, and a larger one moves the rest."""
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" role="img">'
        f"<title>{escape(f'Not recorded: {reason} ({url})')}</title>"
        '<rect x=".5" y=".5" width="15" height="15" fill="#f4f6f9" stroke="#9fadc0" stroke-dasharray="2 2"/></svg>'
    )


def placeholder(reason: str, url: str) -> str:
    """Return a drawing that stands for an image that is not recorded."""
    shown = url if len(url) <= _SHOWN_CHARS else url[: _SHOWN_CHARS - 1] + "\u2026"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" width="240" height="60" role="img">'
        f"<title>{escape(f'Not recorded: {reason} ({url})')}</title>"
        '<rect x=".5" y=".5" width="239" height="59" fill="#f4f6f9" stroke="#9fadc0" stroke-dasharray="4 3"/>'
        '<g font-family="sans-serif" font-size="11" fill="#56647a"><text x="8" y="22">Not recorded: '
        f'{escape(reason)}</text><text x="8" y="42" font-size="9">{escape(shown)}</text></g></svg>'
    )
