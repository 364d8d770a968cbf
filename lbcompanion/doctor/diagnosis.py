"""The diagnosis, as frozen values."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from attrs import field, frozen

from lbcompanion.doctor.identity import Certainty
from lbcompanion.doctor.observations import ParsedSetCookie, ReplayMode, RequestKind


class Severity(Enum):
    """Severity of a finding, the worst first."""

    PROBLEM = "problem"
    WARNING = "warning"
    NOTE = "note"
    GOOD = "good"


@frozen
class Finding:
    """One result of the analysis.

    :ivar code: a stable identifier for programs.
    :ivar text: one or two sentences for people; never contains a cookie's value.
    """

    code: str
    severity: Severity
    text: str


def worst_first(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """Sort findings by severity."""
    order = list(Severity)
    return tuple(sorted(findings, key=lambda one: order.index(one.severity)))


@frozen
class ObservedNode:
    """A node that responded to requests without a cookie."""

    name: str
    responses: int


@frozen
class PossibleDialect:
    """A dialect that could have written a cookie, as :func:`lbcompanion.sticky.explain.explain` finds it."""

    dialect: str
    grounds: str
    node: str | None
    moves_visitor: bool

    @property
    def is_sure(self) -> bool:
        """Whether the dialect recognises the cookie beyond doubt."""
        return self.grounds == "recognised"


@frozen
class ObservedCookie:
    """A cookie that the site sets.

    :ivar set_cookie: the first ``Set-Cookie`` with this name.
    :ivar kinds: the kinds of request whose responses set it.
    :ivar sticks: whether it brings a request back to its node; None if unknown.
    :ivar routing_part: whether its routing part alone is enough; None if that is the whole value, or was not tried.
    :ivar credential: whether it looks like a session's id or a secret, by its name, its value, or because every
        response sets another long value.
    :ivar possible_dialects: the dialects that could have written it, the most certain first.
    """

    set_cookie: ParsedSetCookie
    kinds: tuple[RequestKind, ...]
    sticks: bool | None
    routing_part: bool | None
    credential: bool
    possible_dialects: tuple[PossibleDialect, ...]


@frozen
class ReplaySummary:
    """The result of one series of replays.

    :ivar node: the node that it should lead to.
    :ivar matches: how many of ``tries`` requests reached that node.
    """

    node: str
    cookies: tuple[str, ...]
    mode: ReplayMode
    tries: int
    matches: int
    certainty: Certainty


@frozen
class Diagnosis:
    """All that the analysis concludes.

    :ivar sticky: whether visitors stick by a cookie, and its replay leads to the same node again.
    :ivar sticks_by: the cookies that do it, all of which are needed where ``all_needed`` is set.
    :ivar certainty: how certain that is.
    :ivar example: values set under those names, to try configurations on; never shown.
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

    @property
    def is_good(self) -> bool:
        """Whether the site is sticky, and no finding is a problem."""
        return self.sticky and all(finding.severity is not Severity.PROBLEM for finding in self.findings)
