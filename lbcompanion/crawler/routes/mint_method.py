"""By which means a campaign asks for a cookie of our own, in which order, and how often at most."""

from __future__ import annotations

from enum import Enum
from math import ceil

from attrs import define

#: What one campaign may ask at most, however many nodes there are; the next one goes on.
MOST_PROBES = 300

_BARE_ANSWERS = 3
_FAILED_GUESSES = 4
#: Every session of our own is one that the application keeps for a while.
_MOST_SESSIONS = 24


def budget(nodes: int) -> int:
    """Probes for one campaign: three times what a random balancer takes on average to show all its nodes (n H(n))."""
    return min(ceil(3 * nodes * sum(1 / k for k in range(1, nodes + 1))) + 10, MOST_PROBES)


class Means(Enum):
    """How a campaign asks; from the gentlest on."""

    BARE = "without a cookie"
    POST = "by POST"
    INVENTED = "with a key of our own"
    SESSION = "with a session of our own"


@define
class Plan:
    """By which means a campaign goes on, from what came of the ones before.

    :ivar has_name: whether it is known under which name a key is looked for.
    """

    has_name: bool
    means: Means = Means.BARE
    exhausted: bool = False
    _bare: int = 0
    _in_vain: int = 0
    _sessions: int = 0

    def came_of_it(self, succeeded: bool | None) -> None:
        """:param helped: whether the node that answered has a proven route now; None: nothing was handed out."""
        posted = self.means is Means.POST
        self._bare += succeeded is None and self.means is Means.BARE
        self._in_vain = 0 if succeeded else self._in_vain + 1
        self._sessions += self.means is Means.SESSION
        if self.means is Means.SESSION:
            self.exhausted = succeeded is None or self._in_vain >= _FAILED_GUESSES or self._sessions >= _MOST_SESSIONS
        elif self._bare >= _BARE_ANSWERS or self._in_vain >= _FAILED_GUESSES or (posted and succeeded is None):
            self._next()

    def _next(self) -> None:
        following = {Means.BARE: Means.POST, Means.POST: Means.INVENTED if self.has_name else Means.SESSION}
        self.means = following.get(self.means, Means.SESSION)
        self._bare = self._in_vain = 0
