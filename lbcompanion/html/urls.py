"""URLs as browsers read them (URL Standard), with the parser Ada through ``can_ada``.

``urljoin`` and ``urlsplit`` do not implement that standard: they pass some texts on unchanged and drop characters from
others. Then the text that is checked is not the one that is requested. Here a URL is read once. The result is printable
ASCII, and this one text is checked, requested and recorded.
"""

from __future__ import annotations

import atexit
import re
from codecs import CodecInfo
from functools import lru_cache
from urllib.parse import quote

import can_ada

from lbcompanion.html.text_codecs import query_codec

#: Longer URLs are not used: a request line of this length is still accepted by common servers.
MAX_URL_CHARS = 8000

_SCHEMES = frozenset({"http:", "https:"})
#: Removed from both ends of a URL, and from everywhere in it (URL Standard section 4.4, basic URL parser).
_STRIPPED = "".join(map(chr, range(0x21)))
_REMOVED = str.maketrans("", "", "\t\n\r")
#: Ada takes no lone surrogate. Browsers replace it too, when they convert a text to a USVString.
_SURROGATE = re.compile("[\ud800-\udfff]")
_ASCII_URL = re.compile(r"https?://[\x21-\x7e]+", re.ASCII)
#: What a node may send as a page's address. Nothing of the host is encoded; path and query are, where it is necessary.
_PAGE_ADDRESS = re.compile(
    r"""(?P<origin>https?://[!$-.0-;=A-\[\]-~]+)(?P<target>(?:[/?#][!-~\x80-\xff]*)?)""", re.IGNORECASE
)
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F)))
_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")
#: The special-query percent-encode set has all of ASCII but these and the characters that ``quote`` always keeps.
_KEPT_IN_QUERY = "!$%&()*+,/:;=?@[\\]^`{|}"


def resolve_url(base: str, text: str, encoding: str = "utf-8") -> str:
    """Resolve a URL in a document to an absolute one, without its fragment.

    :param base: the document's base URL; empty if there is none, so that the text must be absolute.
    :param encoding: the document's encoding, as a label of the Encoding Standard: the query is sent in it.
    :returns: printable ASCII, or empty if the text is not a URL of ``http`` or ``https``. A URL with user or password
        is refused too, because browsers do not load page requisites from them.
    """
    url = _parsed(base, _with_encoded_query(text, encoding))
    if url is None or url.protocol not in _SCHEMES or url.username or url.password:
        return ""
    url.hash = ""
    address, question_mark, query = url.href.partition("?")
    # The path percent-encode set has ``^`` since 2024; Chromium does it, this version of Ada does not.
    address = address.replace("^", "%5E") + question_mark + query
    return address if len(address) <= MAX_URL_CHARS and _ASCII_URL.fullmatch(address) else ""


def document_base(own: str, href: str | None) -> str:
    """Return the base URL of a document (HTML Standard section 4.2.3).

    :param own: the document's own URL.
    :param href: the attribute of the first ``<base href>``; None if there is none.
    """
    url = _parsed(own, href) if href is not None else None
    return own if url is None or url.protocol in {"data:", "javascript:"} else url.href


def origin_of(url: str) -> str:
    """Return a URL's origin, such as ``https://www.example.com``; empty if the text is not an http or https URL."""
    parsed = _parsed("", url)
    return parsed.origin if parsed is not None and parsed.protocol in _SCHEMES else ""


def page_address(text: str) -> str:
    """Read the address of a page that a node sent; empty if it is not a whole http or https URL.

    :param text: the address as sent, each byte as one character. Bytes above ASCII in path and query are
        percent-encoded one by one: a client may send them raw in a request line.
    """
    parts = _PAGE_ADDRESS.fullmatch(text)
    if parts is None:
        return ""
    encoded = quote(parts["target"].encode("latin-1"), _PRINTABLE) if not text.isascii() else parts["target"]
    return resolve_url("", parts["origin"] + encoded)


def path_of(url: str) -> str:
    """Return the path of an absolute URL, without its query."""
    return "/" + url.split("/", 3)[3].partition("?")[0] if url.count("/") > 2 else "/"


def target_of(url: str) -> str:
    """Return what a request for this absolute URL has in its request line: path and query."""
    return "/" + url.split("/", 3)[3] if url.count("/") > 2 else "/"


def _parsed(base: str, text: str) -> can_ada.URL | None:
    if not text.isascii():
        text = _SURROGATE.sub("\ufffd", text)
    try:
        return _parsed_base(base) + text if base else can_ada.parse(text)
    except ValueError:
        return None


@lru_cache(64)  # all links of a page have the same base
def _parsed_base(base: str) -> can_ada.URL:
    return can_ada.parse(_SURROGATE.sub("\ufffd", base))


# The binding prints a report about URLs that are left at the end of the process.
atexit.register(_parsed_base.cache_clear)


def _with_encoded_query(text: str, encoding: str) -> str:
    """Percent-encode a query in the document's encoding; Ada would do it in UTF-8."""
    if text.isascii() or (codec := query_codec(encoding)) is None:
        return text
    text = text.strip(_STRIPPED).translate(_REMOVED)
    before, hash_mark, fragment = text.partition("#")
    before, question_mark, query = before.partition("?")
    encoded = _NOT_ASCII.sub(lambda run: _query_bytes(run[0], codec), query)
    return f"{before}{question_mark}{encoded}{hash_mark}{fragment}"


def _query_bytes(text: str, codec: CodecInfo) -> str:
    """Percent-encode after encoding (URL Standard section 1.3); what cannot be encoded becomes ``&#N;``, encoded."""
    try:
        return quote(codec.encode(text, "strict")[0], _KEPT_IN_QUERY)
    except UnicodeError:
        if len(text) == 1:
            return f"%26%23{ord(text)}%3B"
    return "".join(_query_bytes(char, codec) for char in text)
