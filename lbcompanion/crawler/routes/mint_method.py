"""By which means a campaign asks for a cookie of our own, in which order, and how often at most."""

from __future__ import annotations

from enum import Enum
from math import ceil

from attrs import define

#: What one campaign may ask at most, however many nodes there are; the next one goes on.
MAX_PROBES = 300

_MAX_PLAIN_ANSWERS = 3
_MAX_FAILURES = 4
#: Every session of our own is one that the application keeps for a while.
_MAX_SESSIONS = 24


def probe_budget(nodes: int) -> int:
    """Probes for one campaign: three times what a random balancer takes on average to show all its nodes (n H(n))."""
    return min(ceil(3 * nodes * sum(1 / k for k in range(1, nodes + 1))) + 10, MAX_PROBES)


class MintMethod(Enum):
    """How a campaign asks; from the gentlest on."""

    NO_COOKIE = "without a cookie"
    POST = "by POST"
    INVENTED = "with a key of our own"
    SESSION = "with a session of our own"


@define
class MintPlan:
    """By which means a campaign goes on, from what came of the ones before.

    :ivar knows_cookie_name: whether it is known under which name a key is looked for.
    """

    knows_cookie_name: bool
    method: MintMethod = MintMethod.NO_COOKIE
    exhausted: bool = False
    _plain_answers: int = 0
    _failures: int = 0
    _sessions: int = 0

    def record_result(self, succeeded: bool | None) -> None:
        """:param succeeded: whether the node that answered has a proven route now; None: nothing was handed out."""
        posted = self.method is MintMethod.POST
        self._plain_answers += succeeded is None and self.method is MintMethod.NO_COOKIE
        self._failures = 0 if succeeded else self._failures + 1
        self._sessions += self.method is MintMethod.SESSION
        if self.method is MintMethod.SESSION:
            self.exhausted = succeeded is None or self._failures >= _MAX_FAILURES or self._sessions >= _MAX_SESSIONS
        elif (
            self._plain_answers >= _MAX_PLAIN_ANSWERS
            or self._failures >= _MAX_FAILURES
            or (posted and succeeded is None)
        ):
            self._next_method()

    def _next_method(self) -> None:
        following = {
            MintMethod.NO_COOKIE: MintMethod.POST,
            MintMethod.POST: MintMethod.INVENTED if self.knows_cookie_name else MintMethod.SESSION,
        }
        self.method = following.get(self.method, MintMethod.SESSION)
        self._plain_answers = self._failures = 0
