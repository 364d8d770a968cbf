"""The encoding of a page, as far as the inserted bytes depend on it (HTML Standard, section 13.2.3.2)."""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from lbcompanion.html.encoding_labels import encoding_of, python_codec_of
from lbcompanion.html.tokenizer_patterns import ATTRIBUTES, WS, attributes, unescaped

#: A ``<meta>`` further in than this is not looked for.
PRESCAN_BYTES = 1024

_BOMS = ((b"\xef\xbb\xbf", "utf-8"), (b"\xfe\xff", "utf-16be"), (b"\xff\xfe", "utf-16le"))

# The encodings in which bytes of ASCII may mean something else.
_ASCII_INCOMPATIBLE = ("utf-16be", "utf-16le", "iso-2022-jp", "replacement")

# The encoding that is used if a <meta> names one of these (section 13.2.3.2).
_MEANT_BY_META = {"utf-16be": "utf-8", "utf-16le": "utf-8", "x-user-defined": "windows-1252"}

# What UTF-16 without a byte order mark is recognised by: the first characters of an XML declaration.
_UTF16_XML_STARTS = ((b"<\0?\0x\0", "utf-16le"), (b"\0<\0?\0x", "utf-16be"))
_UTF16_XML_START_BYTES = 6

# One parameter, or an empty one: its name, its quoted value, its other value. A quoted string may lack its end. Single
# quotes are part of a value (MIME Sniffing Standard, section 4.4).
_PARAMETER = re.compile(r""";[ \t]*([^;=]*)(?:=[ \t]*(?:"((?:[^"\\]|\\.)*)(?:"|\\?\Z)[^;]*|([^;]*)))?""", re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
# An encoding in an XML declaration at the start of the page (HTML Standard, section 13.2.3.2).
_XML_ENCODING = re.compile(rb"""encoding[\0-\x20]*=[\0-\x20]*(?:"([!#-~]*)"|'([!-&(-~]*)')""")
_META_CHARSET = re.compile(r"""charset[\t\n\f\r ]*=[\t\n\f\r ]*(?:"([^"]*)"|'([^']*)'|([^\t\n\f\r ;"']+))""", re.I)
_PRESCAN = re.compile(
    rb"(?i)<(?:!--(?:-?>|(?:[^-]++|-(?!->))*-->)|(meta[" + WS + rb"/]" + ATTRIBUTES + rb">)"
    rb"|(?:/|(?!meta[" + WS + rb"/]))[a-z][^" + WS + rb">]*+" + ATTRIBUTES + rb">|(?!!--|/[a-z])[!/?][^>]*+>)"
)
# A token that does not end within these bytes: nothing behind its start is read.
_UNFINISHED = re.compile(rb"<(?:[A-Za-z/!?]|\Z)")


@frozen
class MetaCharset:
    """A ``<meta>`` that names the encoding.

    :ivar name: the encoding; UTF-8 if it names UTF-16.
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
    """The encoding that the charset parameter of a ``Content-Type`` names; None if it names none."""
    for found in _PARAMETER.finditer(value.decode("latin-1")):
        name, quoted, other = found.groups()
        if name.lower() != "charset":
            continue
        if quoted is not None:
            return encoding_of(_QUOTED_PAIR.sub(r"\1", quoted))
        if other and not other.isspace():  # an empty value does not count
            return encoding_of(other)
    return None


def bom_charset(start: bytes) -> str | None:
    """The encoding of the byte order mark at the start of the page; it takes precedence over all other sources."""
    if start[:1] < b"\xef":
        return None
    for mark, name in _BOMS:
        if start.startswith(mark):
            return name
    return None


def unmarked_utf16(start: bytes) -> str:
    """The variant of UTF-16 of a page that begins with an XML declaration, without a byte order mark; else empty.

    Browsers read such a page as UTF-16 if ``Content-Type`` names no encoding (HTML Standard, section 13.2.3.2).
    """
    if b"\0" not in start[:2]:
        return ""
    return next((name for beginning, name in _UTF16_XML_STARTS if start.startswith(beginning)), "")


def may_become_unmarked_utf16(start: bytes) -> bool:
    """Whether :func:`unmarked_utf16` needs more bytes to decide."""
    if len(start) >= _UTF16_XML_START_BYTES:
        return False
    return any(beginning.startswith(start) for beginning, _ in _UTF16_XML_STARTS)


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
    """The same as :func:`prescan`, but faster: the pages of a site have the same bytes up to the ``<meta>``.

    :param page: all of it, or its first 1,024 bytes.
    """
    word = page.find(b"charset", 0, PRESCAN_BYTES)
    end = page.find(b">", word, PRESCAN_BYTES) + 1 if word >= 0 else 0
    # A result for the beginning of the page is the result for the page.
    return (_cached_prescan(page[:end]) if end else None) or prescan(page)


@lru_cache(256)
def _cached_prescan(beginning: bytes) -> MetaCharset | None:
    return prescan(beginning)


def meta_charset(tag: bytes) -> str | None:
    """The encoding that one ``<meta>`` tag names."""
    found = attributes(tag)
    label = unescaped(found.get(b"charset", b""))
    if not label and found.get(b"http-equiv", b"").strip().lower() == b"content-type":
        content = _META_CHARSET.search(unescaped(found.get(b"content", b"")))
        label = (content.group(1) or content.group(2) or content.group(3) or "") if content else ""
    encoding = encoding_of(label)
    return _MEANT_BY_META.get(encoding, encoding) if encoding else None


def page_charset(content_type: bytes, start: bytes) -> str | None:
    """The page's encoding: byte order mark, else header, else ``<meta>``, else an XML declaration; None where nothing
    says it."""
    declared = bom_charset(start) or content_type_charset(content_type) or unmarked_utf16(start)
    if declared:
        return declared
    meta = find_meta_charset(start)
    return meta.name if meta else _xml_charset(start)


def _xml_charset(start: bytes) -> str | None:
    """The encoding that an XML declaration names; UTF-8 if it names UTF-16."""
    found = _XML_ENCODING.search(start, 0, start.find(b">", 0, PRESCAN_BYTES) + 1) if start[:5] == b"<?xml" else None
    encoding = encoding_of((found[1] or found[2] or b"").decode("ascii")) if found else None
    return _MEANT_BY_META.get(encoding, encoding) if encoding else None


def is_ascii_compatible(label: str | None) -> bool:
    """Whether ASCII bytes always mean ASCII characters in such a page, so that something may be inserted into it."""
    return label is None or encoding_of(label) not in _ASCII_INCOMPATIBLE


def utf16_variant(label: str | None) -> str:
    """``utf-16le`` or ``utf-16be`` if the label names one of them, else an empty string."""
    encoding = encoding_of(label or "")
    return encoding if encoding in ("utf-16le", "utf-16be") else ""


def supports_insertion(label: str | None) -> bool:
    """Whether something can be inserted into such a page: where ASCII means itself, and in UTF-16."""
    return is_ascii_compatible(label) or utf16_variant(label) != ""


def python_codec(label: str) -> str:
    """The name of Python's codec for the encoding that a label names; the label itself if it means nothing."""
    encoding = encoding_of(label)
    return python_codec_of(encoding) if encoding else label
