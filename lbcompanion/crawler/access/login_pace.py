"""Slows down those who guess passwords or tokens: per address, and per name.

After some failures each further one doubles the time in which attempts are refused, up to a maximum of some seconds.
So a legitimate user never waits for long, also while someone guesses his password. An address from which a user has
logged in before does not wait for failures that others cause for this name.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import ip_address

from attrs import define

from lbcompanion.http1.ip_addresses import unmapped

#: How many names, addresses, and pairs of both are remembered; the oldest are forgotten first.
MAX_ENTRIES = 10_000
#: Failures are forgotten after this time without further ones, in seconds.
FORGET_SECONDS = 900.0


@define
class _Failures:
    count: int = 0
    at: float = 0.0
    has_refused: bool = False


class LoginPace:
    """The pace of log-ins.

    :param free_failures: how many failures have no wait.
    :param max_wait_seconds: the longest wait.
    :param clock: seconds that only increase.
    """

    def __init__(self, *, free_failures: int, max_wait_seconds: float, clock: Callable[[], float]) -> None:
        self._free = free_failures
        self._max_wait = max_wait_seconds
        self._clock = clock
        self._failures: OrderedDict[tuple[str, str], _Failures] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._failures) + len(self._known)

    def wait(self, address: str, name: str = "") -> float:
        """Return for how many seconds attempts are refused; 0: an attempt may be made now."""
        now = self._clock()
        return max((self._wait(key, now) for key in self._keys(address, name)), default=0.0)

    def begin(self, address: str, name: str = "") -> None:
        """Count an attempt as a failure until :meth:`succeeded` is called: attempts at the same time count too."""
        now = self._clock()
        for key in self._keys(address, name):
            found = self._failures.pop(key, None)
            if found is None or now - found.at >= FORGET_SECONDS:
                found = _Failures()
            found.count, found.at, found.has_refused = found.count + 1, now, False
            self._failures[key] = found
            while len(self._failures) > MAX_ENTRIES:
                self._failures.popitem(last=False)

    def is_first_refusal(self, address: str, name: str = "") -> bool:
        """Whether this is the first refusal since the last attempt that was checked; a flood is logged once."""
        waiting = [each for key in self._keys(address, name) if (each := self._failures.get(key)) is not None]
        is_first = not any(each.has_refused for each in waiting)
        for each in waiting:
            each.has_refused = True
        return is_first

    def succeeded(self, address: str, name: str) -> None:
        """Report that the attempt was right.

        Failures for the name are forgotten, those of the address are not: it may also be guessing other names.
        """
        for key in self._keys(address, name):
            found = self._failures.get(key)
            if found is not None:
                found.count -= 1
        network = _network(address)
        self._failures.pop(("name", name), None)
        self._known[network, name] = None
        self._known.move_to_end((network, name))
        while len(self._known) > MAX_ENTRIES:
            self._known.popitem(last=False)

    def _keys(self, address: str, name: str) -> list[tuple[str, str]]:
        network = _network(address)
        keys = [("address", network)]
        if name and (network, name) not in self._known:
            keys.append(("name", name))
        return keys

    def _wait(self, key: tuple[str, str], now: float) -> float:
        found = self._failures.get(key)
        if found is None or now - found.at >= FORGET_SECONDS:
            return 0.0
        beyond = found.count - self._free
        if beyond < 0:
            return 0.0
        return max(found.at + min(2.0 ** min(beyond, 30), self._max_wait) - now, 0.0)


def _network(address: str) -> str:
    """Return the /64 of an IPv6 address: a host may choose any address of it."""
    try:
        found = unmapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return address
    return found.exploded[:19] if found.version == 6 else str(found)
