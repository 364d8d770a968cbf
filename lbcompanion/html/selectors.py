"""CSS selectors, as far as a search for what they may match needs it: their words, attributes and characters."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from html.entities import html5

_WORD = re.compile(r"[A-Za-z0-9_-]+|[^\x00-\x7f]")
_WHOLE_SELECTOR = re.compile(r"""[A-Za-z0-9_\-\s*.#>+~=^$|"'\[\]]+""", re.ASCII)
# Between two elements, or between two selectors.
_COMBINATOR = re.compile(r"[\s>+~,](?![^\[]*\])")
_FLAG = re.compile(r"\s+[is]\s*\]")
# What a selector compares with an attribute's value, and the attributes that it names.
_COMPARED = re.compile(r""""([^"]*)"|'([^']*)'|=\s*([^\s"'\]]+)|[.#]([\w-]+)""")
_ATTRIBUTE_NAME = re.compile(r"\[\s*([\w-]+)")
_SPACES = "\t\n\f\r "


def required_words(selector: str) -> tuple[bytes, ...]:
    """Words that every matching page contains, in lower case; empty if the selector is too complex to say."""
    if not _WHOLE_SELECTOR.fullmatch(selector):
        return ()
    words = _WORD.findall(_FLAG.sub("]", selector).lower())
    return tuple(word.encode() for word in dict.fromkeys(words) if len(word) > 1)


def has_combinator(selector: str) -> bool:
    """Whether a selector names more than one element, or is a list of selectors."""
    return _COMBINATOR.search(selector) is not None


def attribute_names(selectors: Iterable[str]) -> frozenset[str] | None:
    """The attributes that selectors compare; None if a selector is too complex to say."""
    names: set[str] = set()
    for selector in selectors:
        if "\\" in selector:
            return None
        names.update(name.lower() for name in _ATTRIBUTE_NAME.findall(selector) if name.isascii())
        names.update(("class",) if "." in selector else (), ("id",) if "#" in selector else ())
    return frozenset(names)


def compared_characters(selectors: Iterable[str]) -> frozenset[str]:
    """The characters that selectors compare with those of attribute values, in either case."""
    characters: set[str] = set()
    for selector in selectors:
        if "\\" in selector:
            characters.update(map(chr, range(0x20, 0x7F)))
        characters.update(*(part for groups in _COMPARED.findall(selector) for part in groups))
        if "." in selector or "~=" in selector:
            characters.update(_SPACES)
        if "|=" in selector:
            characters.add("-")
    return frozenset(case for character in characters for case in (character, character.lower(), character.upper()))


@lru_cache(maxsize=8)
def references_to(characters: frozenset[str]) -> tuple[re.Pattern[bytes] | None, bytes]:
    """A pattern of the references to these characters in a page in lower case, and what all of them begin with."""
    if not characters:
        return None, b""
    codes = {ord(character) for text in characters for character in text}
    decimal = "|".join(f"{code}" for code in sorted(codes))
    hexadecimal = "|".join(f"{code:x}" for code in sorted(codes))
    names = sorted({name.lower() for name, text in html5.items() if not characters.isdisjoint(text)}, key=len)
    # Longer names come first, so that a shorter one does not match in their place.
    named = "".join("|" + re.escape(name) for name in reversed(names))
    pattern = rf"&(?:#0*+(?:{decimal})(?![0-9]);?|#x0*+(?:{hexadecimal})(?![0-9a-f]);?{named})"
    return re.compile(pattern.encode()), b"&" if named else b"&#"
