"""Decodes and encodes text by the labels of the Encoding Standard. They differ from Python's: ``latin1`` means
windows-1252."""

from __future__ import annotations

from codecs import CodecInfo

import webencodings  # type: ignore[import-untyped]

from lbcompanion.html.encoding_labels import encoding_of

#: The Encoding Standard's "get an output encoding": forms and URLs in UTF-16 pages are encoded in UTF-8.
_WITHOUT_ENCODER = frozenset({"utf-8", "utf-16le", "utf-16be", "replacement"})


def encoding_name(label: str) -> str:
    """Return the name of the encoding that a label means; empty if it means none."""
    return encoding_of(label) or ""


def decode(body: bytes, name: str) -> str:
    """Decode bytes; a byte order mark takes precedence over the named encoding."""
    return str(webencodings.decode(body, name)[0])


def decode_named(body: bytes, name: str) -> tuple[str, str]:
    """Decode bytes; return the text, and the encoding that was used: a byte order mark takes precedence."""
    text, encoding = webencodings.decode(body, name)
    return str(text), str(encoding.name)


def query_codec(label: str) -> CodecInfo | None:
    """Return the codec in which a document sends its queries; None for UTF-8."""
    found = webencodings.lookup(encoding_name(label))
    return None if found is None or found.name in _WITHOUT_ENCODER else found.codec_info
