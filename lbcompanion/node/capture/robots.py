"""Additions to robots.txt that exclude the prefix from other crawlers (RFC 9309). Pure."""

from __future__ import annotations

import re

_LINE = re.compile(rb"[ \t]*([A-Za-z-]+)[ \t]*:[ \t]*([^#\r\n]*)")
_RULES = frozenset({b"allow", b"disallow"})
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
#: Crawlers need not parse more than this (RFC 9309 section 2.5): a larger file passes unchanged.
MAX_BYTES = 512000


def default_robots(prefix: bytes) -> bytes:
    """A complete robots.txt, for an application without one."""
    return b"User-agent: *\n" + _rules(prefix)


def _rules(prefix: bytes) -> bytes:
    """The paths below the prefix, and the script and notice paths below pages' folders."""
    return b"Disallow: %b/\nDisallow: /*-%b/\n" % (prefix, prefix)


def add_rules(text: bytes, prefix: bytes) -> bytes:
    """Add the rules to each group of the application's robots.txt, and a group for all other agents if it has none.

    An agent obeys only the group that names it (RFC 9309 section 2.2.1), so one group at the end would not apply to
    agents that the file names. Only a rule ends the list of a group's agents: other records, such as ``Sitemap``, may
    stand between them (section 2.2.4).
    """
    rule = _rules(prefix).rstrip()
    out: list[bytes] = []
    in_agents = False
    for_all = False
    for line in text.splitlines(keepends=True):
        match = _LINE.match(line if out else line.removeprefix(_BYTE_ORDER_MARK))
        key = match[1].lower() if match else b""
        if in_agents and key in _RULES:
            out.append(rule + b"\n")
            in_agents = False
        if key == b"user-agent" and match:
            in_agents = True
            for_all = for_all or match[2].strip() == b"*"
        out.append(line if line.endswith((b"\n", b"\r")) else line + b"\n")
    if in_agents:
        out.append(rule + b"\n")
    if not for_all:
        out.append((b"\n" if out else b"") + b"User-agent: *\n" + rule + b"\n")
    return b"".join(out)


class RobotsRewriter:
    """The pipeline of a robots.txt: collects it and adds the rules; a file over the limit passes unchanged."""

    same_length = False
    broken = ""

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._pieces: list[bytes] = []
        self._size = 0

    def feed(self, data: bytes) -> bytes:
        """Collect the text; return nothing until it is over the limit."""
        self._size += len(data)
        if self._size - len(data) > MAX_BYTES:
            return data
        self._pieces.append(data)
        return self._collected() if self._size > MAX_BYTES else b""

    def finish(self) -> bytes:
        """Return the text with the rules."""
        return b"" if self._size > MAX_BYTES else add_rules(self._collected(), self._prefix)

    def _collected(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)

    def transform_whole(self, data: bytes) -> list[bytes]:
        """Rewrite a text in one piece."""
        return [self.feed(data), self.finish()]

    def written(self) -> None:
        """Do nothing."""

    def abort(self, why: str) -> bytes:
        """Return the text collected so far, as it came."""
        return self._collected()
