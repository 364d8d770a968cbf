"""Compiled patterns over bytes that read a tag, a comment and raw text as HTML's tokenizer does.

Every pattern matches whole tokens only, in linear time. An attribute with a value and an attribute without one exclude
each other, so an unterminated tag does not cause backtracking. Source of all rules: HTML Standard,
section 13.2.5 "Tokenization". ``\\x0b`` is no white space there.
"""

from __future__ import annotations

import re
from html import unescape

from lbcompanion.html.possessive import one_or_more

#: One character of white space, as a class without its brackets.
WS = rb"\t\n\f\r "

_NAME = rb"(?:=[^" + WS + rb"/>=]*+|[^" + WS + rb"/>=]++)"
_EQUALS = rb"[" + WS + rb"]*+=[" + WS + rb"]*+"
_VALUE = rb"""(?:"[^"]*+"|'[^']*+'|(?!["'])[^""" + WS + rb">]*+)"

#: The part of a tag between its name and its ``>``.
ATTRIBUTES = rb"(?:[" + WS + rb"/]++|" + _NAME + rb"(?:" + _EQUALS + _VALUE + rb"|(?!" + _EQUALS + rb")))*"
#: The rest of a tag whose name is written before it.
TAG_REST = rb"(?=[" + WS + rb"/>])" + ATTRIBUTES + rb">"
#: Any start tag.
START_TAG = rb"<[A-Za-z][^" + WS + rb"/>]*+" + ATTRIBUTES + rb">"
#: Any end tag; it may bear attributes, which mean nothing.
END_TAG = rb"</[A-Za-z][^" + WS + rb"/>]*+" + ATTRIBUTES + rb">"
#: A comment of HTML's: ``<!-->`` and ``<!--->`` are whole ones, ``--!>`` ends one.
COMMENT = rb"<!--(?:-?>|(?:[^-]++|-(?!-!?>))*--!?>)"
#: Other tokens that become comments: ``<!x>``, ``<?x>``, ``</3>``. A doctype has the same form.
BOGUS_COMMENT = rb"<(?:!(?!--)|\?|/(?![A-Za-z>]))[^>]*+>"
#: ``</>`` is nothing at all.
EMPTY_END_TAG = rb"</>"

_SPACE_NUMBER = rb"(?i:#(?:0*+(?:9|1[023]|32)(?:;|(?=[^0-9;]){end})|x0*+(?:[9acd]|20)(?:;|(?=[^0-9a-f;]){end})))"
#: White space that is written as a character reference. Without its ``;``, the next byte must be seen.
SPACE_REFERENCE = rb"&(?:" + _SPACE_NUMBER.replace(b"{end}", b"") + rb"|Tab;|NewLine;)"
#: The same at the end of a page.
LAST_SPACE_REFERENCE = rb"&" + _SPACE_NUMBER.replace(b"{end}", rb"|\Z")
#: A character reference at the end of the input that may become one of white space.
MAYBE_SPACE_REFERENCE = rb"(?i:&(?:#(?:[0-9]*+|x[0-9a-f]*+)|(?:t|ta|tab|n|ne|new|newl|newli|newlin|newline)?)\Z)"

#: Elements in which no tag is read but their own end tag; with scripts enabled ``noscript`` is one of them.
RAW_TEXT = (
    b"script",
    b"style",
    b"title",
    b"textarea",
    b"noscript",
    b"iframe",
    b"noembed",
    b"noframes",
    b"xmp",
)

#: Text, up to the next tag or comment.
TEXT = one_or_more(rb"[^<]++|<(?![A-Za-z/!?])")


def raw_text_ends(*names: bytes) -> dict[bytes, re.Pattern[bytes]]:
    """By elements of raw text, the pattern that finds the end of their content: the name of their end tag."""
    return {name: re.compile(rb"</" + name + rb"(?=[" + WS + rb"/>])", re.IGNORECASE) for name in names}


def any_case(*names: bytes) -> bytes:
    """Names in either case, as alternatives of a pattern; faster than ``re.IGNORECASE``."""
    return b"|".join(
        b"".join(b"[%c%c]" % (byte, byte - 32) if 0x61 <= byte <= 0x7A else re.escape(bytes((byte,))) for byte in name)
        for name in names
    )


#: One attribute with what stands before it: its name, then its value in one of three forms.
ATTRIBUTE = re.compile(
    rb"["
    + WS
    + rb"/]*+("
    + _NAME
    + rb")(?:"
    + _EQUALS
    + rb"""(?:"([^"]*+)"|'([^']*+)'|(?!["'])([^"""
    + WS
    + rb">]*+)))?"
)
#: The beginning of a tag, with its name.
TAG_NAME = re.compile(rb"</?([A-Za-z][^" + WS + rb"/>]*+)")


def tag_name(tag: bytes) -> bytes:
    """The name of a tag, in lower case; empty if the bytes are not a tag."""
    found = TAG_NAME.match(tag)
    return found.group(1).lower() if found else b""


def attributes(tag: bytes) -> dict[bytes, bytes]:
    """The attributes of a whole start tag: names in lower case, values as written; the first of a name counts."""
    name = TAG_NAME.match(tag)
    found: dict[bytes, bytes] = {}
    # In a whole tag one attribute begins where the one before ends, so that the search skips nothing but the end.
    for key, double, single, bare in ATTRIBUTE.findall(tag, name.end()) if name else ():
        found.setdefault(key.lower(), double or single or bare)
    return found


def unescaped(value: bytes) -> str:
    """An attribute's value with its character references read; bytes above ASCII stay as in Latin-1."""
    return unescape(value.decode("latin-1"))
