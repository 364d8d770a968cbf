"""The dialect that configuration describes: a named cookie, which part of it routes, and whether a replay is safe.

By default the whole value routes, unless it may be a session's, and a replay counts as one that could move the visitor.
A value that is as long as a session's id may be one, under any name: see :mod:`lbcompanion.sticky.credentials`.
"""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.credentials import looks_like_node_label, may_be_session
from lbcompanion.sticky.dialects.interface import Sample
from lbcompanion.sticky.dialects.shapes import NODE_TEXT, Shape, compiled

_WRITTEN = re.compile(r"(before|after) (\S)|/(.+)/", re.ASCII | re.DOTALL)
_NODE_TEXT = compiled(NODE_TEXT)
_SOURCE = "the configured names"

#: What ``part`` may be, for messages.
PART_ALLOWED = '"whole", "before X" or "after X" for one character X, or a regular expression between slashes'


class PartPosition(Enum):
    """The position of the routing part in a value."""

    WHOLE = "whole"
    BEFORE = "before"
    AFTER = "after"
    PATTERN = "pattern"


@frozen
class ValuePart:
    """The part of a cookie's value that routes.

    :ivar separator: for BEFORE and AFTER: the first one in the value; it stays with the part, because a balancer that
        looks for it must find it.
    :ivar pattern: for PATTERN: its first group is the part, or all that it matches.
    """

    where: PartPosition = PartPosition.WHOLE
    separator: str = ""
    pattern: re.Pattern[str] | None = None

    def extract(self, value: str) -> str | None:
        """The part; None where the value has none, or one that would be cut again if it were read again."""
        part = self._extract(value)
        return part if part and self._extract(part) == part else None

    def _extract(self, value: str) -> str | None:
        if self.pattern is not None:
            found = self.pattern.search(value)
            return None if found is None else found[1] if self.pattern.groups else found[0]
        before, separator, after = value.partition(self.separator) if self.separator else ("", "", "")
        if self.where is PartPosition.BEFORE:
            return before + separator if separator and _NODE_TEXT.fullmatch(before) else None
        if self.where is PartPosition.AFTER:
            return separator + after if _NODE_TEXT.fullmatch(after) else None
        return value


def parse_part(text: str) -> ValuePart:
    """Read what ``part`` says in a configuration.

    :raises ValueError: where it says nothing that is known; the text tells why where it is a bad expression.
    """
    if text == "whole":
        return ValuePart()
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise ValueError("no such part")
    if found[3] is None:
        return ValuePart(PartPosition(found[1]), separator=found[2])
    try:
        return ValuePart(PartPosition.PATTERN, pattern=re.compile(found[3]))
    except re.error as error:
        raise ValueError(str(error)) from error


@frozen(kw_only=True)
class Generic(Shape):
    """The dialect that the configuration describes: cookie names, and the part that routes."""

    part: ValuePart = field(default=ValuePart())

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The part, unless it may be a session's. A plain node name beside a separator is not a
        session's, in a cookie of any name."""
        reduced = self.part.extract(value)
        if reduced is None or allowed:
            return reduced
        if self.part.separator and looks_like_node_label(reduced.strip(self.part.separator)):
            return reduced
        return None if may_be_session(name, reduced) else reduced

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The part without its separator, where there is one; a whole value may be anything."""
        if self.part.where is PartPosition.WHOLE:
            return None
        reduced = self.part.extract(cookie.value)
        return reduced.strip(self.part.separator) if reduced and self.part.separator else reduced


def generic(part: str = "whole", replay_safe: bool = False) -> Generic:
    """The dialect of a configuration.

    :param part: see :func:`parse_part`.
    :param replay_safe: whether replaying a visitor's value can do no harm while its node is down.
    :raises ValueError: for a part that there is not.
    """
    return Generic(
        name="generic",
        moves_visitor=not replay_safe,
        part=parse_part(part),
        samples=(
            Sample("where=rack-4/7", (("where", "rack-4/7"),), None, _SOURCE, names=("where",)),
            Sample(
                "a=1; lb_outer=x; lb_inner=y", (("lb_outer", "x"), ("lb_inner", "y")), None, _SOURCE, names=("/^lb_/",)
            ),
            Sample("PHPSESSID=q1w2e3r4t5", (), None, _SOURCE, names=("PHPSESSID",)),
            Sample("PHPSESSID=q1", (("PHPSESSID", "q1"),), None, _SOURCE, names=("PHPSESSID",), allow=("PHPSESSID",)),
            Sample("where=n1", (), None, "without a name nothing is read"),
        )
        if part == "whole"
        else (),
    )


DIALECT = generic()
