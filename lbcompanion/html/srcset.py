"""Parses the URLs of ``srcset`` and ``imagesrcset`` (HTML Standard section 4.8.4.2.4, "parse a srcset attribute").

A URL ends at white space, so it may contain commas; only commas at its end separate it from the next one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from lbcompanion.html.possessive import one_or_more

_WS = r"\t\n\f\r "
_SEPARATORS = re.compile(rf"[{_WS},]*")
_URL = re.compile(rf"[^{_WS}]+")
#: Descriptors up to the comma that ends the candidate; a comma in parentheses does not. An unclosed parenthesis
#: reaches to the end of the attribute.
_DESCRIPTORS = re.compile(r"(?:[^,(]++|\([^)]*+(?:\)|\Z)|)*+")
_DESCRIPTOR = re.compile(one_or_more(rf"[^{_WS}(]++|\([^)]*+(?:\)|\Z)"))
_WIDTH = re.compile(r"[0-9]+w", re.ASCII)
_HEIGHT = re.compile(r"[0-9]+h", re.ASCII)
_DENSITY = re.compile(r"-?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?x", re.ASCII)


class SrcsetUrls(NamedTuple):
    """What was found in a text.

    :ivar urls: the URLs of the valid candidates, as written, in their order, without duplicates.
    :ivar steps: how many steps the search took. A candidate is one step, and each of its descriptors another.
    :ivar is_whole: whether all of the text was searched.
    """

    urls: tuple[str, ...]
    steps: int
    is_whole: bool


def read_srcset(text: str, max_steps: int, max_urls: int) -> SrcsetUrls:
    """Search a text until its end, or until a limit is reached."""
    urls: dict[str, None] = {}
    steps = 0
    for url, descriptors in _candidates(text):
        if steps >= max_steps or len(urls) >= max_urls:
            return SrcsetUrls(tuple(urls), steps, is_whole=False)
        steps += 1 + len(descriptors)
        if _is_valid(descriptors):
            urls[url] = None
    return SrcsetUrls(tuple(urls), steps, is_whole=True)


def srcset_candidates(text: str) -> list[tuple[str, list[str]]]:
    """Return the valid candidates: the URL as written, and its descriptors."""
    return [(url, descriptors) for url, descriptors in _candidates(text) if _is_valid(descriptors)]


def _candidates(text: str) -> Iterator[tuple[str, list[str]]]:
    position = _end(_SEPARATORS.match(text, 0))
    while url := _URL.match(text, position):
        written = url[0].rstrip(",")
        position = url.end()
        descriptors: list[str] = []
        if written == url[0]:
            found = _DESCRIPTORS.match(text, position)
            position = _end(found)
            descriptors = _DESCRIPTOR.findall(found[0]) if found else []
        yield written, descriptors
        position = _end(_SEPARATORS.match(text, position))


def _end(found: re.Match[str] | None) -> int:
    return found.end() if found else 0


def _is_valid(descriptors: list[str]) -> bool:
    """Whether a browser would use a candidate with these descriptors."""
    if len(descriptors) > len("wh"):
        return False
    kinds = [_kind(each) for each in descriptors]
    if None in kinds or len(set(kinds)) != len(kinds):
        return False
    return set(kinds) in (set(), {"w"}, {"x"}, {"w", "h"})


def _kind(descriptor: str) -> str | None:
    """Return ``w``, ``h`` or ``x``; None if the descriptor is not one of these or its number is not allowed."""
    if _WIDTH.fullmatch(descriptor) or _HEIGHT.fullmatch(descriptor):
        return descriptor[-1] if descriptor[:-1].strip("0") else None
    if _DENSITY.fullmatch(descriptor):
        return "x" if float(descriptor[:-1]) >= 0 else None
    return None
