"""The addresses of a replay, and what stands behind each address that a recorded page has."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from urllib.parse import quote

from attrs import field, frozen

from lbcompanion.crawler.replay.html_rewriting import Replacement, Use
from lbcompanion.crawler.replay.recorded_files import FileRecord

_SCRIPTS = ("javascript", "ecmascript", "x-javascript", "x-ecmascript")
_KINDS = {
    "text/css": "style",
    "image/svg+xml": "svg",
    "text/html": "page",
    "application/xhtml+xml": "page",
    **{f"{top}/{sub}": "script" for top in ("text", "application") for sub in _SCRIPTS},
}

NOT_KEPT_MEDIA = "videos and sounds are not recorded"
NOT_FOUND = "it is not in the archive of this page"
NOT_SHOWN = "such objects are not shown"


#: What the addresses of a replay without scripts begin with.
REPLAY_PREFIX = "/replay"


def replay_address(token: str, what: str = "", url: str | None = None, prefix: str = REPLAY_PREFIX) -> str:
    """Return an address below ``/replay/TOKEN/``; it has no character that HTML, CSS or ``srcset`` would escape."""
    query = "" if url is None else "?url=" + quote(url, safe="")
    return f"{prefix}/{token}/{what}{query}"


def kind_of(content_type: str) -> str:
    """Return a file's kind: ``style``, ``script``, ``image``, ``svg``, ``font``, ``media``, ``page``; else empty."""
    media_type = content_type.partition(";")[0].strip().lower()
    if known := _KINDS.get(media_type):
        return known
    top, _, sub = media_type.partition("/")
    if top in ("image", "font") and not sub.endswith("+xml"):
        return top
    if top in ("audio", "video"):
        return "media"
    is_font = media_type.startswith(("application/font-", "application/x-font-", "application/vnd.ms-fontobject"))
    return "font" if is_font or media_type == "application/octet-stream" else ""


@frozen
class ReplayAddresses:
    """Answers what stands in the place of an address in one recorded page or style sheet.

    :ivar encoding: of the page or the style sheet, for style sheets that do not name their own.
    :ivar files: the files that were archived with the page, by URL.
    :ivar reasons: why files were not archived, by URL.
    :ivar of_others: the URLs of files that recordings near this one have.
    :ivar prefix: what the addresses begin with.
    """

    token: str
    encoding: str
    files: Mapping[str, FileRecord] = field(repr=False)
    reasons: Mapping[str, str] = field(repr=False)
    of_others: Collection[str] = field(repr=False, default=())
    prefix: str = REPLAY_PREFIX

    def __call__(self, use: Use, url: str) -> Replacement:
        """Return what stands in the place of an address."""
        if use is Use.LINK:
            return Replacement(self._own("link", url))
        if use is Use.FRAME:
            return Replacement(self._own("frame", url) if url else "", "" if url else NOT_SHOWN)
        file = self.files.get(url)
        if file is not None:
            return self._recorded(use, url, kind_of(file.content_type))
        if url in self.of_others and use is not Use.OBJECT:
            return Replacement(self._address(use, url))
        return self._missing(use, url, NOT_KEPT_MEDIA if use is Use.MEDIA else self.reason(url))

    def reason(self, url: str) -> str:
        """Return why a file is missing."""
        return self.reasons.get(url, NOT_FOUND)

    def _recorded(self, use: Use, url: str, kind: str) -> Replacement:
        if use is Use.STYLE and kind != "style":
            return self._missing(use, url, "its type is not text/css, so that browsers do not use it")
        if use is Use.OBJECT and kind in ("svg", "page"):
            return Replacement(self._own("frame", url))
        if use is Use.OBJECT and kind != "image":
            return self._missing(use, url, NOT_SHOWN)
        return Replacement(self._address(use, url))

    def _address(self, use: Use, url: str) -> str:
        return self._own(f"style/{self.encoding}" if use is Use.STYLE else "file", url)

    def _missing(self, use: Use, url: str, reason: str) -> Replacement:
        return Replacement(self._own("missing", url) if use is Use.IMAGE else "", reason)

    def _own(self, what: str, url: str) -> str:
        return replay_address(self.token, what, url, self.prefix)
