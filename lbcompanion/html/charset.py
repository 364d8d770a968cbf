"""The encoding of a page, as far as the inserted bytes depend on it (HTML Standard, section 13.2.3.2)."""

from __future__ import annotations

import re
from codecs import lookup
from functools import lru_cache

from attrs import frozen

from lbcompanion.html.tokenizer_patterns import ATTRIBUTES, WS, attributes, unescaped

#: A ``<meta>`` further in than this is not looked for.
PRESCAN_BYTES = 1024

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))

#: Labels of the Encoding Standard (section 4.2) for encodings whose bytes are no superset of ASCII. Those that it
#: replaces by an error are among them: a script in such a page would not run.
_UTF_16 = {
    **dict.fromkeys(("utf-16be", "unicodefffe"), "utf-16be"),
    **dict.fromkeys(
        (
            "utf-16",
            "utf-16le",
            "csunicode",
            "iso-10646-ucs-2",
            "ucs-2",
            "unicode",
            "unicodefeff",
        ),
        "utf-16le",
    ),
}
_ISO_2022_JP = {"iso-2022-jp", "csiso2022jp"}
_REPLACEMENT = {"iso-2022-cn", "iso-2022-cn-ext", "iso-2022-kr", "csiso2022kr", "hz-gb-2312", "replacement"}
_UTF_7_AND_32 = {"utf-7", "utf-32", "utf-32le", "utf-32be", "x-utf-16be-nobom"}

_PARAMETER = re.compile(r""";[ \t]*charset[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|([^;\s"']+))""", re.IGNORECASE)
_META_CHARSET = re.compile(r"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"']+))""", re.I)
_PRESCAN = re.compile(
    rb"(?i)<(?:!--(?:-?>|(?:[^-]++|-(?!->))*-->)|(meta[" + WS + rb"/]" + ATTRIBUTES + rb">)"
    rb"|(?:/|(?!meta[" + WS + rb"/]))[a-z][^" + WS + rb">]*+" + ATTRIBUTES + rb">|(?!!--|/[a-z])[!/?][^>]*+>)"
)
# A token that does not end in there: nothing behind its start is looked at, whatever it looks like.
_UNFINISHED = re.compile(rb"<(?:[A-Za-z/!?]|\Z)")


@frozen
class MetaCharset:
    """A ``<meta>`` that names the encoding.

    :ivar name: what it names, in lower case; what says UTF-16 means UTF-8.
    :ivar start: where the tag starts.
    :ivar end: where it ends.
    """

    name: str
    start: int
    end: int

    def stays_in_prescan(self, at: int, length: int) -> bool:
        """Whether a browser's prescan still finds the tag after ``length`` bytes were inserted at offset ``at``."""
        return self.end <= at or self.end + length <= PRESCAN_BYTES


def content_type_charset(value: bytes) -> str | None:
    """The charset parameter of a ``Content-Type``, in lower case."""
    found = _PARAMETER.search(value.decode("latin-1"))
    if found is None:
        return None
    return (found.group(1) or found.group(2) or found.group(3) or "").strip().lower() or None


def bom_charset(start: bytes) -> str | None:
    """The encoding of the byte order mark at the start of the page; it takes precedence over all other sources."""
    if start[:1] < b"\xef":
        return None
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    return None


def prescan(start: bytes) -> MetaCharset | None:
    """Look for a ``<meta>`` with an encoding in a page's first 1,024 bytes (section 13.2.3.2, in its simple form)."""
    window = start[:PRESCAN_BYTES]
    position = window.find(b"<")
    while position >= 0:
        token = _PRESCAN.match(window, position)
        if token is None:
            if _UNFINISHED.match(window, position):
                return None
            position = window.find(b"<", position + 1)
            continue
        if token.group(1) and (name := meta_charset(token.group())):
            return MetaCharset(name, position, token.end())
        position = window.find(b"<", token.end())
    return None


def find_meta_charset(page: bytes) -> MetaCharset | None:
    """What :func:`prescan` finds, faster: pages of a site begin alike, up to the ``<meta>`` at least.

    :param page: all of it, or its first 1,024 bytes.
    """
    word = page.find(b"charset", 0, PRESCAN_BYTES)
    end = page.find(b">", word, PRESCAN_BYTES) + 1 if word >= 0 else 0
    # What is found in a beginning of the page is found in the page.
    return (_cached_prescan(page[:end]) if end else None) or prescan(page)


@lru_cache(256)
def _cached_prescan(beginning: bytes) -> MetaCharset | None:
    return prescan(beginning)


def meta_charset(tag: bytes) -> str | None:
    """The encoding that one ``<meta>`` tag names."""
    found = attributes(tag)
    name = unescaped(found.get(b"charset", b"")).strip().lower()
    if not name and found.get(b"http-equiv", b"").strip().lower() == b"content-type":
        content_match = _META_CHARSET.search(unescaped(found.get(b"content", b"")))
        name = (
            (content_match.group(1) or content_match.group(2) or content_match.group(3) or "").strip().lower()
            if content_match
            else ""
        )
    if not _is_known_label(name):
        return None
    return "utf-8" if name in _UTF_16 else name


@lru_cache(256)
def _is_known_label(name: str) -> bool:
    """Whether an encoding is meant at all: one that Python knows, or of the families that only the web names."""
    if name in _UTF_16 or name in _REPLACEMENT or name.startswith(("x-", "windows-", "cs", "unicode-1-1-")):
        return True
    try:
        return bool(name) and lookup(name) is not None
    except (LookupError, ValueError):
        return False


def page_charset(content_type: bytes, start: bytes) -> str | None:
    """The page's encoding: byte order mark, else header, else ``<meta>``; None where nothing says it."""
    declared = bom_charset(start) or content_type_charset(content_type)
    if declared:
        return declared
    meta = find_meta_charset(start)
    return meta.name if meta else None


def is_ascii_compatible(name: str | None) -> bool:
    """Whether bytes of ASCII mean themselves anywhere in such a page, so that something may be inserted into it."""
    return name is None or not (
        name in _UTF_16 or name in _ISO_2022_JP or name in _REPLACEMENT or name in _UTF_7_AND_32
    )


def utf16_variant(name: str | None) -> str:
    """``utf-16le`` or ``utf-16be`` where a name means one of them, else an empty string."""
    return _UTF_16.get(name or "", "")


def supports_insertion(name: str | None) -> bool:
    """Whether something can be inserted into such a page: where ASCII means itself, and in UTF-16."""
    return is_ascii_compatible(name) or name in _UTF_16


def python_codec(name: str) -> str:
    """Python's name for an encoding whose bytes are no superset of ASCII."""
    return _UTF_16.get(name, "iso2022_jp" if name in _ISO_2022_JP else name)
