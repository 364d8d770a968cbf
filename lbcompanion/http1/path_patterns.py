"""Path patterns of the configuration, and the forms of a request's path that they are compared with.

``*`` matches any characters except a slash, ``?`` one such character, and ``**`` any characters. The companion does not
know how the application reads a path: whether it decodes it twice, ignores case or drops path parameters. A list of
patterns that keeps pages out therefore matches if any reading of the path matches (:meth:`PathPatterns.excludes`). A
list that takes pages in is compared with the normal form only (:meth:`PathPatterns.includes`).

The matching time grows linearly with the path, whatever the patterns are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from lbcompanion.bounded_cache import BoundedCache

#: A longer path is not compared: it counts as excluded, and as not included.
MAX_PATH_BYTES = 8192

_PERCENT_ENCODED = re.compile(rb"%([0-9A-Fa-f]{2})")
# IIS decodes "%u0061" as well.
_UNICODE_ENCODED = re.compile(rb"%[uU]([0-9A-Fa-f]{4})")
_SLASHES = re.compile("/{2,}")
_PARAMETERS = re.compile(";[^/]*")
_WILDCARDS = re.compile(r"(\*\*+|\*|\?)")
# A path without these has one reading only, except for its case.
_HAS_READINGS = re.compile(rb"[%;\\]|//|/\.")


def _decode(path: bytes) -> bytes:
    """Decode all percent-encoded bytes once; an incomplete escape stays."""
    return _PERCENT_ENCODED.sub(lambda found: bytes((int(found[1], 16),)), path)


def _decode_as_iis(path: bytes) -> bytes:
    return _decode(_UNICODE_ENCODED.sub(lambda found: chr(int(found[1], 16)).encode("utf-8", "surrogatepass"), path))


def _text(path: bytes) -> str:
    """The path as text. Bytes that are not UTF-8, overlong forms included, stay distinct characters."""
    return path.decode("utf-8", "surrogateescape")


def _resolve(path: str) -> str:
    """Merge slashes, then resolve dot segments (RFC 3986 section 5.2.4)."""
    path = _SLASHES.sub("/", path)
    if "/." not in path:
        return path
    resolved: list[str] = []
    segments = path.split("/")
    for segment in segments[1:]:
        if segment == "..":
            del resolved[-1:]
        elif segment != ".":
            resolved.append(segment)
    if segments[-1] in {".", ".."}:
        resolved.append("")
    return segments[0] + "/" + "/".join(resolved)


def normal_path(path: bytes) -> str:
    """The path percent-decoded once, with slashes merged and dot segments resolved."""
    return _resolve(_text(_decode(path)))


def path_readings(path: bytes) -> set[str]:
    """The readings of a path by common servers.

    As it is, decoded once or twice, with the backslash as a slash and ``%u`` escapes (IIS), and without path parameters
    (servlet containers).
    """
    readings = {_text(path)}
    if not _HAS_READINGS.search(path):
        return readings
    once = _decode_as_iis(path)
    for decoded in {path, _decode(path), once, _decode_as_iis(once)}:
        for text in {_text(decoded), _text(decoded.replace(b"\\", b"/"))}:
            readings.add(_resolve(text))
            readings.add(_resolve(_PARAMETERS.sub("", text)))
    return readings


def is_matchable(pattern: str) -> bool:
    """Whether a pattern matches any path at all: it begins like a path, and is in the normal form."""
    if not pattern.startswith(("/", "**")) or "//" in pattern:
        return False
    return {".", ".."}.isdisjoint(pattern.split("/"))


def _pattern_tokens(pattern: str) -> Iterator[tuple[str, bool]]:
    """The tokens of a pattern, and whether each is a wildcard. An encoded character is never a wildcard."""
    for part in _WILDCARDS.split(pattern):
        if _WILDCARDS.fullmatch(part):
            yield part, True
        else:
            literal = _text(_decode(part.encode("utf-8", "surrogateescape")))
            yield from ((character, False) for character in literal)


class _Automaton:
    """All patterns of a list as one nondeterministic automaton, whose set of states is the bits of an integer.

    A pattern of n characters (wildcards ``*`` and ``**`` not counted) has n + 1 states: state i is active after i
    matched characters. A step over one character of the path takes three operations for all patterns together.
    """

    __slots__ = ("_accepting", "_advance", "_advance_any", "_start", "_stay", "_stay_within_segment")

    def __init__(self, patterns: Iterable[str], ignore_case: bool) -> None:
        # Characters, and the states that each one advances.
        self._advance: dict[str, int] = {}
        # The states before a "?".
        self._advance_any = 0
        # The states that a "**" keeps active, and those that a "*" keeps active up to the next slash.
        self._stay = 0
        self._stay_within_segment = 0
        self._start = 0
        self._accepting = 0
        state = 1
        for pattern in patterns:
            self._start |= state
            for token, is_wildcard in _pattern_tokens(pattern.lower() if ignore_case else pattern):
                if is_wildcard and token.startswith("**"):
                    self._stay |= state
                elif is_wildcard and token == "*":
                    self._stay_within_segment |= state
                else:
                    if is_wildcard:
                        self._advance_any |= state
                    else:
                        self._advance[token] = self._advance.get(token, 0) | state
                    state <<= 1
            self._accepting |= state
            state <<= 1

    def matches(self, path: str) -> bool:
        """Whether a pattern matches the whole path."""
        states = self._start
        advance, advance_any, stay = self._advance, self._advance_any, self._stay
        stay_in_segment = stay | self._stay_within_segment
        for character in path:
            if character == "/":
                states = ((states & advance.get(character, 0)) << 1) | (states & stay)
            else:
                states = ((states & (advance.get(character, 0) | advance_any)) << 1) | (states & stay_in_segment)
            if not states:
                return False
        return bool(states & self._accepting)


class PathPatterns:
    """A compiled list of path patterns.

    :ivar empty: whether the list has no pattern.
    """

    __slots__ = ("_excluded", "_excluding", "_included", "_including", "empty")

    def __init__(self, patterns: Iterable[str]) -> None:
        listed = tuple(patterns)
        self.empty = not listed
        self._including = _Automaton(listed, ignore_case=False)
        self._excluding = _Automaton(listed, ignore_case=True)
        # Visitors ask for the same paths again.
        self._included: BoundedCache[bytes, bool] = BoundedCache()
        self._excluded: BoundedCache[bytes, bool] = BoundedCache()

    def includes(self, path: bytes) -> bool:
        """Whether a pattern matches the normal form of a path; never for an overlong path.

        :param path: as in the request line, without its query.
        """
        if self.empty or len(path) > MAX_PATH_BYTES:
            return False
        included = self._included.get(path)
        return self._included.put(path, self._including.matches(normal_path(path))) if included is None else included

    def excludes(self, path: bytes) -> bool:
        """Whether a pattern matches any reading of a path, without regard to case; always for an overlong path.

        :param path: as in the request line, without its query.
        """
        if self.empty or len(path) > MAX_PATH_BYTES:
            return not self.empty
        excluded = self._excluded.get(path)
        if excluded is None:
            readings = {reading.lower() for reading in path_readings(path)}
            excluded = self._excluded.put(path, any(map(self._excluding.matches, readings)))
        return excluded
