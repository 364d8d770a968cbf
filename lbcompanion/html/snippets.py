"""What is inserted into pages: the built-in tag, and the operator's snippets with their placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from urllib.parse import quote

#: The attribute by which a page that bears our tag already is known.
MARKER = b"data-lbc-token"

#: What a snippet may have filled in, as ``{name}``.
PLACEHOLDERS = ("fetch_from", "token", "node", "prefix", "nonce")

_PLACEHOLDER = re.compile(rb"\{(" + b"|".join(name.encode() for name in PLACEHOLDERS) + rb")\}")
_INLINE_SCRIPT = re.compile(rb"<script(?=[\t\n\f\r />])(?![^>]*?[\t\n\f\r /]src[\t\n\f\r ]*=)", re.IGNORECASE)
# What means the same in a JavaScript string of either quote, in an attribute's value of either quote, and in text.
_SAFE_IN_BOTH = "-._~:/?#[]@!$()*+,;=%"
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$()*+,;=%]*", re.ASCII)


def safe_in_both(value: str) -> str:
    """Make a value right for a JavaScript string and for HTML at once.

    Escapes of the one are plain text to the other, so what is special to either is percent-encoded: all values are
    URLs or of a URL's characters, and an honest one comes out as it is.
    """
    return value if _PLAIN.fullmatch(value) else quote(value, safe=_SAFE_IN_BOTH, errors="replace")


class Snippet:
    """A template with ``{fetch_from}``, ``{token}``, ``{node}``, ``{prefix}`` and ``{nonce}``, cut up once.

    Everything else in it is plain text, other braces, dollar signs and backslashes too.

    :ivar inline: whether it has a script without ``src``, which a policy judges otherwise.
    :ivar uses_nonce: whether it has a place for the page's nonce.
    """

    def __init__(self, template: bytes) -> None:
        self._parts = _PLACEHOLDER.split(template)
        self._places = [(index, self._parts[index].decode()) for index in range(1, len(self._parts), 2)]
        self.inline = _INLINE_SCRIPT.search(template) is not None
        self.uses_nonce = b"{nonce}" in template

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The snippet with the values in their places.

        :param values: by placeholder; one that is missing is filled with nothing.
        """
        parts = self._parts.copy()
        for index, name in self._places:
            parts[index] = safe_in_both(values.get(name, "")).encode()
        return b"".join(parts)


def default_tag(token: str, fetch_url: str, script_url: str, nonce: str | None, xhtml: bool) -> bytes:
    """The one tag that is inserted without configuration.

    :param fetch_url: where the copy can be had.
    :param script_url: ``/_lbc/fetch-from.js?v=HASH``.
    :param nonce: the page's own, where its policy needs one.
    :param xhtml: attributes have values there, all of them.
    """
    sync = 'async="async"' if xhtml else "async"
    password = f' nonce="{_attribute(nonce)}"' if nonce else ""
    return (
        f'<script {sync} src="{_attribute(script_url)}" data-lbc-token="{_attribute(token)}"'
        f' data-lbc-fetch-from="{_attribute(fetch_url)}"{password}></script>'
    ).encode("ascii", "xmlcharrefreplace")


def _attribute(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else escape(value)
