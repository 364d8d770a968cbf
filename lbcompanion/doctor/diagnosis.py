"""What was found out, as frozen values."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import field, frozen

from lbcompanion.doctor.identity import Certainty
from lbcompanion.doctor.observations import ParsedSetCookie, ReplayMode, RequestKind


class Severity(Enum):
    """How much a finding matters, the worst first."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"
    GOOD = "good"


@frozen
class Finding:
    """One thing to know.

    :ivar code: a word for programs.
    :ivar text: a sentence or two for people, without a cookie's value.
    """

    code: str
    severity: Severity
    text: str


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The findings in the order in which they are told."""
    order = list(Severity)
    return tuple(sorted(findings, key=lambda one: order.index(one.severity)))


@frozen
class ObservedNode:
    """A node that answered requests without a cookie."""

    name: str
    responses: int


@frozen
class PossibleDialect:
    """A dialect that could have written a cookie; see :class:`lbcompanion.sticky.explain.Finding`."""

    dialect: str
    grounds: str
    node: str | None
    moves_visitor: bool

    @property
    def is_sure(self) -> bool:
        """Whether the cookie is this dialect's beyond reasonable doubt."""
        return self.grounds == "recognised"


@frozen
class ObservedCookie:
    """A cookie that the site hands out.

    :ivar set_cookie: as it was handed out first.
    :ivar kinds: where it was handed out.
    :ivar sticks: whether it brings a request back to its node; None where that could not be told.
    :ivar routing_part: whether its routing part alone is enough; None where that is the whole, or was not tried.
    :ivar credential: whether it looks like a session's or a secret's, by its name or its value, or by what was seen:
        a value as long as an id that is another one in every answer.
    :ivar possible_dialects: who could have written it, the surest first.
    """

    set_cookie: ParsedSetCookie
    kinds: tuple[RequestKind, ...]
    sticks: bool | None
    routing_part: bool | None
    credential: bool
    possible_dialects: tuple[PossibleDialect, ...]


@frozen
class ReplaySummary:
    """How one series of replays went.

    :ivar node: where it should lead.
    :ivar matches: how many led there; of ``tries``.
    """

    node: str
    cookies: tuple[str, ...]
    mode: ReplayMode
    tries: int
    matches: int
    certainty: Certainty


@frozen
class Diagnosis:
    """The whole.

    :ivar sticky: whether visitors stick by a cookie, and its replay leads to the same node again.
    :ivar sticks_by: the cookies that do it, all of which are needed where ``all_needed`` is set.
    :ivar certainty: how sure that is.
    :ivar example: what was handed out under those names, to try configurations on. Not shown.
    """

    sticky: bool
    sticks_by: tuple[str, ...]
    all_needed: bool
    invented: bool
    certainty: Certainty
    nodes: tuple[ObservedNode, ...]
    cookies: tuple[ObservedCookie, ...]
    replays: tuple[ReplaySummary, ...]
    findings: tuple[Finding, ...]
    example: tuple[tuple[str, str], ...] = field(default=(), repr=False)
