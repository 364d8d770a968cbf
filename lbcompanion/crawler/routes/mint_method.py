"""The methods by which a campaign gets a routing cookie from the balancer: their order and their limits."""

from __future__ import annotations

from enum import Enum
from math import ceil

from attrs import define

#: Most probes of one campaign, for any number of nodes; the next campaign continues.
MAX_PROBES = 300

_MAX_PLAIN_ANSWERS = 3
_MAX_FAILURES = 4
#: The application stores each session for a while, so few are opened.
_MAX_SESSIONS = 24


def probe_budget(nodes: int) -> int:
    """Return the most probes of one campaign: three times the average number of requests after which a random balancer
    has chosen each of ``nodes`` nodes (n H(n)).
    """
    return min(ceil(3 * nodes * sum(1 / k for k in range(1, nodes + 1))) + 10, MAX_PROBES)


class MintMethod(Enum):
    """How a campaign asks for a cookie, least intrusive first."""

    NO_COOKIE = "without a cookie"
    POST = "by POST"
    INVENTED = "with a key of our own"
    SESSION = "with a session of our own"


@define
class MintPlan:
    """Chooses a campaign's method by the results of earlier probes.

    :ivar knows_cookie_name: whether the name of the cookie that routes is known.
    :ivar method: the method of the next probe.
    :ivar exhausted: whether all methods failed.
    """

    knows_cookie_name: bool
    method: MintMethod = MintMethod.NO_COOKIE
    exhausted: bool = False
    _plain_answers: int = 0
    _failures: int = 0
    _sessions: int = 0

    def record_result(self, *, proven: bool | None) -> None:
        """Record the result of a probe and choose the next method.

        :param proven: whether the node that answered has a proven route now; None if no cookie was set.
        """
        posted = self.method is MintMethod.POST
        self._plain_answers += proven is None and self.method is MintMethod.NO_COOKIE
        self._failures = 0 if proven else self._failures + 1
        self._sessions += self.method is MintMethod.SESSION
        if self.method is MintMethod.SESSION:
            self.exhausted = proven is None or self._failures >= _MAX_FAILURES or self._sessions >= _MAX_SESSIONS
        elif (
            self._plain_answers >= _MAX_PLAIN_ANSWERS or self._failures >= _MAX_FAILURES or (posted and proven is None)
        ):
            self._next_method()

    def _next_method(self) -> None:
        following = {
            MintMethod.NO_COOKIE: MintMethod.POST,
            MintMethod.POST: MintMethod.INVENTED if self.knows_cookie_name else MintMethod.SESSION,
        }
        self.method = following.get(self.method, MintMethod.SESSION)
        self._plain_answers = self._failures = 0
