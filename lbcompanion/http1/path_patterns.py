"""Path patterns of the configuration, and the forms of a request's path that they are compared with.

``*`` matches any characters except a slash, ``?`` one such character, and ``**`` any characters. The companion does not
know how the application reads a path: whether it decodes it several times, ignores case or drops path parameters. A
list of patterns that keeps pages out therefore matches if any reading of the path matches
(:meth:`PathPatterns.excludes`). A list that takes pages in is compared with the normal form only
(:meth:`PathPatterns.includes`).

For every set of patterns, the matching time grows linearly with the path.
"""

from __future__ import annotations

import re
import unicodedata
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
_HAS_READINGS = re.compile(rb"[%;:\\\x00-\x20\x7f-\xff]|//|/\.|\./|\.\Z|[^/]/\Z")
# Lenient decoders read these as the ASCII character of the last one or two bytes (RFC 3629 section 10).
_OVERLONG = re.compile(rb"[\xc0\xc1][\x80-\xbf]|\xe0[\x80\x81][\x80-\xbf]|\xf0\x80[\x80\x81][\x80-\xbf]")
_NOT_ASCII = re.compile(rb"[\x80-\xff]")
# Windows ignores dots and blanks at the end of a name, and takes what follows "::" for a stream of the file.
_IGNORED_BY_WINDOWS = re.compile(r"::\$[^/]*|(?<=[^/. ])[. ]+(?=/|\Z)")
# Applications in C end a name at NUL; what is decoded twice is split at "?" and "#" again.
_END_OF_PATH = re.compile(r"[\0?#]")
# "new URL(target, base)" of WHATWG's URL Standard takes what follows two slashes for a host.
_HOST = re.compile(r"//+[^/]*")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
# A path that is encoded more often than this counts as excluded.
_MAX_DECODINGS = 4


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
    return _resolve_dots(_SLASHES.sub("/", path))


def _resolve_dots(path: str) -> str:
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


def _lenient_text(path: bytes) -> str:
    """The path as text for a lenient decoder: overlong ASCII characters, and Latin-1 for what is not UTF-8."""
    if not _NOT_ASCII.search(path):
        return path.decode("ascii")
    plain = _OVERLONG.sub(lambda found: bytes((((found[0][-2] & 0x1F) << 6 | found[0][-1] & 0x3F) & 0x7F,)), path)
    try:
        text = plain.decode()
    except UnicodeDecodeError:
        text = plain.decode("latin-1")
    # Compatible forms as well: IIS and Java applications may read a full-width letter as a letter.
    return unicodedata.normalize("NFKC", text)


def path_readings(path: bytes) -> set[str] | None:
    """The readings of a path by common servers; None if it is encoded too often to be read.

    As it is, decoded several times, with the backslash as a slash and ``%u`` escapes (IIS), without path parameters
    (servlet containers), in lenient UTF-8 or Latin-1, without what Windows ignores, and up to a NUL.
    """
    readings = {_text(path)}
    if not _HAS_READINGS.search(path):
        return readings
    decodings = {path, _decode(path)}
    decoded = path
    for _ in range(_MAX_DECODINGS):
        previous, decoded = decoded, _decode_as_iis(decoded)
        if decoded == previous:
            break
        decodings.add(decoded)
    else:
        if _decode_as_iis(decoded) != decoded:
            return None
    for decoded in decodings:
        for text in {_text(decoded), _lenient_text(decoded)}:
            for slashed in {text, text.replace("\\", "/")}:
                readings.update(map(_resolve, _without_ignored_parts(slashed)))
                readings.add(_SLASHES.sub("/", _resolve_dots(slashed)))
    # Most frameworks serve a name with a slash at its end like the name without it.
    return readings | {reading.rstrip("/") or "/" for reading in readings}


def _without_ignored_parts(path: str) -> set[str]:
    """The path with and without the parts that some servers ignore."""
    without_parameters = _PARAMETERS.sub("", path)
    end = _END_OF_PATH.search(path)
    shortened = _IGNORED_BY_WINDOWS.sub("", without_parameters if end is None else path[: end.start()])
    variants = {path, without_parameters, shortened, _CONTROLS.sub("", without_parameters)}
    if path.startswith("//"):
        variants.add(_HOST.sub("", path, count=1))
    return variants


def is_matchable(pattern: str) -> bool:
    """Whether a pattern matches any path at all: it begins like a path, and is in the normal form."""
    if not pattern.startswith(("/", "**")) or "//" in pattern:
        return False
    return {".", ".."}.isdisjoint(pattern.split("/"))


def _pattern_tokens(pattern: str, *, ignore_case: bool) -> Iterator[tuple[str, bool]]:
    """The tokens of a pattern, and whether each is a wildcard. An encoded character is never a wildcard."""
    for part in _WILDCARDS.split(pattern):
        if _WILDCARDS.fullmatch(part):
            yield part, True
        else:
            decoded = _decode(part.encode("utf-8", "surrogateescape"))
            literal = _folded(_lenient_text(decoded)) if ignore_case else _text(decoded)
            yield from ((character, False) for character in literal)


def _folded(text: str) -> str:
    """Text to compare without regard to case and to the forms of one character."""
    return text.lower() if text.isascii() else unicodedata.normalize("NFKC", text).casefold()


class _Automaton:
    """All patterns of a list as one nondeterministic automaton, whose set of states is the bits of an integer.

    A pattern of n characters (wildcards ``*`` and ``**`` not counted) has n + 1 states: state i is active after i
    matched characters. A step over one character of the path takes three operations for all patterns together.
    """

    __slots__ = ("_accepting", "_advance", "_advance_any", "_start", "_stay", "_stay_within_segment")

    def __init__(self, patterns: Iterable[str], *, ignore_case: bool) -> None:
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
            for token, is_wildcard in _pattern_tokens(pattern, ignore_case=ignore_case):
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
            readings = path_readings(path)
            excluded = readings is None or any(map(self._excluding.matches, set(map(_folded, readings))))
            self._excluded.put(path, excluded)
        return excluded
