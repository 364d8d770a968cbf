"""The additions to robots.txt: crawlers of others keep out of what stands below our prefix. Pure (RFC 9309)."""

from __future__ import annotations

import re

_LINE = re.compile(rb"[ \t]*([A-Za-z-]+)[ \t]*:[ \t]*([^#\r\n]*)")
#: Beyond this much nobody reads a robots.txt (RFC 9309 section 2.5), and neither do we: it passes as it is.
MAX_BYTES = 512000


def default_robots(prefix: bytes) -> bytes:
    """The whole file where the application has none."""
    return b"User-agent: *\n" + _rules(prefix)


def _rules(prefix: bytes) -> bytes:
    """What is ours: all below the prefix, and the script and the notices below pages' folders."""
    return b"Disallow: %b/\nDisallow: /*-%b/\n" % (prefix, prefix)


def add_rules(text: bytes, prefix: bytes) -> bytes:
    """The application's file with ``Disallow`` for our prefix in each of its groups, and a group for all others.

    An agent obeys the group that names it and no other (RFC 9309 section 2.2.1), so one group at the end would not
    reach those which the application names.
    """
    rule = _rules(prefix).rstrip()
    out: list[bytes] = []
    in_agents = False
    for_all = False
    for line in text.splitlines(keepends=True):
        match = _LINE.match(line)
        key = match[1].lower() if match else b""
        if in_agents and match and key != b"user-agent":
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
    """The pipeline of a robots.txt: collects it and gives it with our rule; one that is too large passes as it is."""

    same_length = False

    def __init__(self, prefix: bytes) -> None:
        self._prefix = prefix
        self._text: bytes | None = b""

    def feed(self, data: bytes) -> bytes:
        """Nothing, as long as the text may be rewritten."""
        if self._text is None:
            return data
        self._text += data
        if len(self._text) <= MAX_BYTES:
            return b""
        text, self._text = self._text, None
        return text

    def finish(self) -> bytes:
        """The text with our rule."""
        return b"" if self._text is None else add_rules(self._text, self._prefix)

    def transform_whole(self, data: bytes) -> list[bytes]:
        """The same for a text that came in one piece."""
        return [self.feed(data), self.finish()]

    def written(self) -> None:
        """Nothing is left to do."""

    def abort(self, why: str) -> None:
        """What was collected is dropped."""
