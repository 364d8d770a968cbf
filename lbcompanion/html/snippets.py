"""The built-in tag, and the operator's snippets with their placeholders."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from html import escape
from urllib.parse import quote

from lbcompanion.html.tokenizer_patterns import TAG_REST, WS, attributes

#: The attribute that identifies the companion's tag in a page.
MARKER = b"data-lbc-token"

#: The placeholders of a snippet, written as ``{name}``.
PLACEHOLDERS = ("fetch_from", "token", "node", "prefix", "nonce")

_PLACEHOLDER = re.compile(rb"\{(" + b"|".join(name.encode() for name in PLACEHOLDERS) + rb")\}")
_INLINE_SCRIPT = re.compile(rb"<script(?=[\t\n\f\r />])(?![^>]*?[\t\n\f\r /]src[\t\n\f\r ]*=)", re.IGNORECASE)
_SCRIPT = re.compile(rb"(?i)<script" + TAG_REST)
_SCRIPT_END = re.compile(rb"(?i)</script(?=[" + WS + rb"/>])")
# A page at the top that may be the Path of a cookie, as /shop is: not a file's name.
_TOP_FOLDER = re.compile(rb"/[A-Za-z0-9_~-]+")
# The characters of a path that are not encoded. Percent-encoded ones stay so (URL Standard, section 1.3).
_SAFE_IN_PATH = "!$%&'()*+,/:;=@[]|~"
# Characters with the same meaning in a JavaScript string, in an attribute's value, and in text.
_SAFE_CHARACTERS = "-._~:/?#[]@!$()*+,;=%"
_PLAIN = re.compile(r"[A-Za-z0-9\-._~:/?#\[\]@!$()*+,;=%]*", re.ASCII)


def escape_for_js_and_html(value: str) -> str:
    """Make a value right for a JavaScript string and for HTML at once.

    An escape of the one is plain text to the other, so special characters of either are percent-encoded. All values are
    URLs or have the characters of URLs, so a usual one stays as it is.
    """
    return value if _PLAIN.fullmatch(value) else quote(value, safe=_SAFE_CHARACTERS, errors="replace")


def inline_hashes(snippet: bytes) -> tuple[str, ...]:
    """Hashes of a filled snippet's scripts without ``src``, as a policy names them: ``'sha256-...'``.

    For HTML and not for XHTML, where text is read in another way.

    :returns: nothing where a browser may see another text than these bytes: where they are not ASCII, have a NUL, or
        where a comment begins in a script.
    """
    if not snippet.isascii() or b"\0" in snippet:
        return ()
    found = []
    position = 0
    while tag := _SCRIPT.search(snippet, position):
        end = _SCRIPT_END.search(snippet, tag.end())
        position = end.start() if end else len(snippet)
        if b"src" in attributes(tag.group()):
            continue
        # Line ends are all line feeds to a browser (HTML Standard, section 13.2.3.5).
        text = snippet[tag.end() : position].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"<!--" in text or end is None:
            return ()
        found.append(f"'sha256-{b64encode(sha256(text).digest()).decode()}'")
    return tuple(found)


class Snippet:
    """A template with ``{fetch_from}``, ``{token}``, ``{node}``, ``{prefix}`` and ``{nonce}``, cut up once.

    Everything else in it is plain text, other braces, dollar signs and backslashes too.

    :ivar inline: whether it has a script without ``src``, which a policy judges otherwise.
    :ivar external: whether it has one with ``src``.
    :ivar lacks_integrity: whether a script with ``src`` lacks ``integrity`` or ``crossorigin``.
    :ivar uses_nonce: whether it has a place for the page's nonce.
    :ivar uses_prefix: whether it has a place for the prefix.
    """

    def __init__(self, template: bytes) -> None:
        self._parts = _PLACEHOLDER.split(template)
        self._placeholders = [(index, self._parts[index].decode()) for index in range(1, len(self._parts), 2)]
        self.inline = _INLINE_SCRIPT.search(template) is not None
        tags = [attributes(tag.group()) for tag in _SCRIPT.finditer(template)]
        self.external = any(b"src" in tag for tag in tags)
        self.lacks_integrity = any(b"src" in tag and not {b"integrity", b"crossorigin"} <= tag.keys() for tag in tags)
        self.uses_nonce = b"{nonce}" in template
        self.uses_prefix = b"{prefix}" in template

    def fill(self, values: Mapping[str, str]) -> bytes:
        """The snippet with the values in their places.

        :param values: by placeholder; one that is missing is filled with nothing.
        """
        parts = self._parts.copy()
        for index, name in self._placeholders:
            parts[index] = escape_for_js_and_html(values.get(name, "")).encode()
        return b"".join(parts)


def script_folder(path: bytes) -> str:
    """The folder of a page, as the path of a URL, under which its script and its notice are requested.

    A browser sends the cookies of the page to this folder, for every ``Path`` that they may have. A page at the top,
    such as ``/shop``, may itself be the ``Path`` of a cookie, so its folder is ``/shop/``.

    :param path: the page's own, as the node sees it.
    """
    folder = path + b"/" if _TOP_FOLDER.fullmatch(path) else path[: path.rfind(b"/") + 1] or b"/"
    return quote(folder, safe=_SAFE_IN_PATH)


def relative_folder(path: bytes) -> str:
    """That folder relative to the page, for a balancer that shows the page under another path or host."""
    return f".{script_folder(path)}" if _TOP_FOLDER.fullmatch(path) else "./"


def integrity_of(script: bytes) -> str:
    """The value of the ``integrity`` attribute for a script."""
    return f"sha256-{b64encode(sha256(script).digest()).decode()}"


def default_tag_parts(
    pages_url: str, script_url: str, nonce: str | None, *, xhtml: bool, integrity: str = ""
) -> tuple[bytes, bytes, bytes]:
    """The default tag cut where the token goes: ``token.join(parts)`` is the tag.

    The token must be of letters, digits, ``-`` and ``_``.

    :param pages_url: the address of copies, up to the slash before the token: ``ORIGIN/_lbc/page/``.
    :param script_url: ``//www.example.com/shop/-/_lbc/fetch-from?v=HASH``.
    :param nonce: the page's own, where its policy needs one.
    :param xhtml: whether all attributes need a value.
    :param integrity: the ``integrity`` of the script. It needs ``crossorigin``: to a sandboxed page every address is
        of another origin. A script of the page's own origin is requested with cookies anyway.
    """
    sync = 'async="async"' if xhtml else "async"
    integrity_attributes = f' integrity="{integrity}" crossorigin="anonymous"' if integrity else ""
    nonce_attribute = f' nonce="{_attribute(nonce)}"' if nonce else ""
    return (
        f'<script {sync} src="{_attribute(script_url)}" data-lbc-token="'.encode("ascii", "xmlcharrefreplace"),
        f'" data-lbc-fetch-from="{_attribute(pages_url)}'.encode("ascii", "xmlcharrefreplace"),
        f'"{integrity_attributes}{nonce_attribute}></script>'.encode("ascii", "xmlcharrefreplace"),
    )


def _attribute(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else escape(value)
