"""Finds the URLs in a style sheet (``url()``, ``src()``, ``image-set()``, ``@import``), by CSS Syntax Level 3.

The tokenizer looks only for what matters for URLs. Each pattern takes whole tokens in linear time.
"""

from __future__ import annotations

import re
import sys
from typing import Final

from attrs import frozen

from lbcompanion.html.possessive import one_or_more
from lbcompanion.html.text_codecs import decode_named, encoding_name

_WS = r"\t\n\f\r "
_ESCAPE = rf"\\(?:[0-9a-fA-F]{{1,6}}(?:\r\n|[{_WS}])?|[^\n\r\f0-9a-fA-F]|\Z)"
_COMMENT = r"/\*(?:[^*]++|\*(?!/)|)*+(?:\*/|\Z)"
_NAME = one_or_more(rf"[-\w\u0080-\U0010ffff]++|{_ESCAPE}")
_TOKEN = re.compile(
    rf"""(?P<comment>{_COMMENT})
    |"(?P<double>(?:[^"\\\n\r\f]++|\\(?:\r\n|[\s\S]|\Z)|)*+)(?P<double_end>"|\Z)?
    |'(?P<single>(?:[^'\\\n\r\f]++|\\(?:\r\n|[\s\S]|\Z)|)*+)(?P<single_end>'|\Z)?
    |(?P<mark>[@\#]?)(?P<name>{_NAME})(?P<function>\(?)
    |(?P<open>[\(\[{{])|(?P<close>[\)\]}}])|(?P<semicolon>;)|[{_WS}]++|[\s\S]""",
    re.VERBOSE | re.ASCII,
)
#: A run of tokens without URLs, which make up most of a style sheet.
_PLAIN = re.compile(one_or_more(rf"[-\w\u0080-\U0010ffff]++(?![\\(])|[{_WS}:,.>+~*=%!$^&|?<]++|/(?!\*)"), re.ASCII)
#: A block without URLs and without a block in it, as most rules have one.
_PLAIN_BLOCK = re.compile(r"""\{(?:[^{}()\[\]"'@\\/]++|/(?!\*)|)*+\}""")
_UNQUOTED = re.compile(
    rf"[{_WS}]*+(?P<url>(?:[^\"'()\\{_WS}\x00-\x08\x0b\x0e-\x1f\x7f]++|{_ESCAPE}|)*+)[{_WS}]*+(?:\)|\Z)"
)
_QUOTE_FOLLOWS = re.compile(rf"[{_WS}]*+[\"']")
_REST_OF_BAD_URL = re.compile(rf"(?:[^)\\]++|{_ESCAPE}|\\|)*+(?:\)|\Z)")
_ESCAPED = re.compile(
    rf"\\(?:(?P<code>[0-9a-fA-F]{{1,6}})(?:\r\n|[{_WS}])?|(?P<newline>\r\n|[\n\r\f])|(?P<char>[\s\S])|\Z)"
)
_CLOSES: Final = {")": "(", "]": "[", "}": "{"}
#: Functions whose string arguments are URLs.
_STRINGS_ARE_URLS = frozenset({"url", "src", "image-set", "-webkit-image-set"})
#: Functions that stand for values of other declarations. The name of an author's own function begins with two dashes.
_SUBSTITUTIONS = frozenset({"var", "env", "attr", "if", "inherit"})
_CHARSET = re.compile(rb'@charset "([\x00-\x21\x23-\x7f]{1,100})";')


@frozen
class CssUrls:
    """The URLs in a style sheet or a style attribute.

    :ivar urls: as written, with escapes resolved, in their order, without duplicates.
    :ivar imported: those of ``@import``. Browsers send their queries in UTF-8, the others' in the sheet's encoding.
    :ivar steps: how many steps the search took. A token is one step, a run of tokens without URLs too.
    :ivar is_whole: whether all of the text was searched.
    """

    urls: tuple[str, ...]
    imported: frozenset[str]
    steps: int
    is_whole: bool


@frozen
class CssUrlPlace:
    """One place of a URL in a style sheet or a style attribute.

    :ivar start: where the string, the ``url(...)`` or the name of the substitution starts in the text.
    :ivar end: where it ends.
    :ivar url: as written, with escapes resolved; empty for a substitution.
    :ivar is_function: whether it is an unquoted ``url(...)``; else it is a string.
    :ivar is_imported: whether it is that of an ``@import``.
    :ivar is_substitution: whether it is the name of a function such as ``var`` in an ``image-set()``. It may stand for
        a string of another declaration, which is a URL only here.
    """

    start: int
    end: int
    url: str
    is_function: bool
    is_imported: bool
    is_substitution: bool = False


def read_css(text: str, max_steps: int, max_urls: int) -> CssUrls:
    """Search a text until its end, or until a limit is reached."""
    reader = _Reader(text, max_steps, max_urls)
    is_whole = reader.read()
    return CssUrls(tuple(reader.found), frozenset(reader.imported), reader.steps, is_whole)


def css_url_places(text: str) -> list[CssUrlPlace]:
    """Return where the URLs are in a text, all of which is searched: those of :func:`read_css`, and substitutions."""
    reader = _Reader(text, sys.maxsize, sys.maxsize)
    reader.read()
    return reader.places


def decode_style_sheet(body: bytes, declared: str, environment: str) -> tuple[str, str]:
    """Decode a style sheet (CSS Syntax section 3.2).

    :param declared: the charset parameter of its ``Content-Type``; empty if there is none.
    :param environment: the encoding of the document or of the style sheet that refers to it.
    :returns: the text and the name of its encoding.
    """
    rule = _CHARSET.match(body[:256])
    named = encoding_name(rule[1].decode("ascii")) if rule else ""
    if named in {"utf-16be", "utf-16le"}:
        named = "utf-8"  # the rule was read as ASCII, so the sheet is not in UTF-16
    return decode_named(body, encoding_name(declared) or named or encoding_name(environment) or "utf-8")


class _Reader:
    def __init__(self, text: str, max_steps: int, max_urls: int) -> None:
        # Browsers read NUL as U+FFFD (CSS Syntax section 3.3).
        self._text = text.replace("\0", "\ufffd")
        self._max_steps = max_steps
        self._max_urls = max_urls
        self.steps = 0
        self.found: dict[str, None] = {}
        self.imported: set[str] = set()
        self.places: list[CssUrlPlace] = []
        #: The open blocks, innermost last: a bracket, or a function's name.
        self._open: list[str] = []
        #: How many of them have strings that are URLs.
        self._open_with_urls = 0
        #: The at-rule whose prelude is being read; empty outside of one.
        self._at_rule = ""
        self._at_depth = 0
        #: Whether the next significant token is the URL of an ``@import``.
        self._import_follows = False

    def read(self) -> bool:
        """Search the text; return True if its end was reached."""
        position = 0
        while position < len(self._text):
            if self.steps >= self._max_steps or len(self.found) >= self._max_urls:
                return False
            self.steps += 1
            if not self._import_follows and (plain := _PLAIN.match(self._text, position)):
                position = plain.end()
                continue
            if not self._import_follows and (block := _PLAIN_BLOCK.match(self._text, position)):
                self._at_rule = ""
                position = block.end()
                continue
            token = _TOKEN.match(self._text, position)
            if token is None:
                break
            position = token.end()
            kind = token.lastgroup
            if kind is None or kind == "comment":
                self._import_follows = self._import_follows and (kind == "comment" or token[0].isspace())
                continue
            follows, self._import_follows = self._import_follows, False
            if token["name"] is not None:
                position = self._name(token)
            elif token["double"] is not None or token["single"] is not None:
                self._string(token, import_follows=follows)
            elif kind == "open":
                self._at_rule = "" if token[0] == "{" else self._at_rule
                self._open.append(token[0])
            elif kind == "close":
                self._close(token[0])
            else:
                self._at_rule = "" if len(self._open) <= self._at_depth else self._at_rule
        return True

    def _name(self, token: re.Match[str]) -> int:
        """Read an identifier, a function, an at-keyword or a hash; return where the next token starts."""
        position = token.end()
        if not (token["mark"] or token["function"]):
            return position
        name = _unescaped(token["name"]).lower()
        if token["mark"]:
            if token["mark"] == "@":
                self._at_rule, self._import_follows, self._at_depth = name, name == "import", len(self._open)
            if token["function"]:
                self._open.append("(")
            return position
        if name != "url" or _QUOTE_FOLLOWS.match(self._text, position):
            if self._open_with_urls and (name in _SUBSTITUTIONS or name.startswith("--")):
                place = CssUrlPlace(*token.span("name"), "", is_function=True, is_imported=False, is_substitution=True)
                self.places.append(place)
            self._open.append(name)
            self._open_with_urls += name in _STRINGS_ARE_URLS
            return position
        unquoted = _UNQUOTED.match(self._text, position)
        if unquoted is not None:
            self._add(_unescaped(unquoted["url"]), token.start(), unquoted.end(), is_function=True)
            return unquoted.end()
        rest = _REST_OF_BAD_URL.match(self._text, position)
        return rest.end() if rest else len(self._text)

    def _string(self, token: re.Match[str], *, import_follows: bool) -> None:
        value, end = (
            (token["double"], token["double_end"])
            if token["double"] is not None
            else (token["single"], token["single_end"])
        )
        if end is not None and (import_follows or (self._open and self._open[-1] in _STRINGS_ARE_URLS)):
            whole = value.removesuffix("\\") if len(value) - len(value.rstrip("\\")) & 1 else value
            self._add(_unescaped(whole), token.start(), token.end(), is_function=False)

    def _close(self, bracket: str) -> None:
        if self._open and (self._open[-1] if self._open[-1] in "([{" else "(") == _CLOSES[bracket]:
            self._open_with_urls -= self._open.pop() in _STRINGS_ARE_URLS
            if len(self._open) < self._at_depth:
                self._at_rule = ""

    def _add(self, url: str, start: int, end: int, *, is_function: bool) -> None:
        # A fragment alone names an element of the document itself; @namespace names no file.
        if url and not url.startswith("#") and self._at_rule != "namespace":
            self.found[url] = None
            is_imported = self._at_rule == "import"
            self.places.append(CssUrlPlace(start, end, url, is_function, is_imported))
            if is_imported:
                self.imported.add(url)


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(_character, text) if "\\" in text else text


def _character(escape: re.Match[str]) -> str:
    if escape["code"] is not None:
        number = int(escape["code"], 16)
        return chr(number) if 0 < number < 0x110000 and not 0xD800 <= number < 0xE000 else "\ufffd"
    # A backslash at the very end stands for U+FFFD; a line break behind one is no part of a string.
    return "" if escape["newline"] is not None else escape["char"] or "\ufffd"
