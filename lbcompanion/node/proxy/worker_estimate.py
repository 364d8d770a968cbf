"""Learns how many connections the application serves at a time, from the order of its first answers. No clock."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from itertools import islice
from typing import Generic, TypeVar

_Connection = TypeVar("_Connection", bound=Hashable)

# The estimate needs this many first answers for each connection that the application serves. A smaller estimate than
# the last one needs more: a connection that is accepted and not answered yet is not counted.
_ROUNDS = 2
_ROUNDS_TO_LOWER = 8
_MIN_ANSWERS = 6


class WorkerEstimate(Generic[_Connection]):
    """The estimated number of connections that the application serves at a time; 0 while it is unknown.

    A system accepts connections in the order in which they were made. So a first answer proves that the application
    has accepted the connection and all older ones. If workers serve one connection each, the number of accepted
    connections never exceeds the number of workers, however many wait. An application without such workers accepts
    connections whenever they come, and every fast answer proves that.

    The estimate is made while connections wait although others are closed for them: if two first answers for each
    accepted connection have not raised the number of accepted ones, that number is the estimate. A connection beyond
    it is still made from time to time, and is answered if the estimate is too small.

    :ivar workers: the estimate.
    :ivar closed_for_waiting: the number of connections that were closed for waiting ones which are not known to be
        accepted so far. A worker is free for each of these, so they count as accepted.
    :ivar changes: how often an estimate was made or withdrawn.
    """

    __slots__ = ("_answers", "_closed", "_most_accepted", "_unaccepted", "changes", "closed_for_waiting", "workers")

    def __init__(self) -> None:
        self._unaccepted: OrderedDict[_Connection, None] = OrderedDict()
        self._most_accepted = 0
        self._answers = 0
        self._closed = 0
        self.closed_for_waiting = 0
        self.workers = 0
        self.changes = 0

    @property
    def unaccepted(self) -> int:
        """The number of connections that the application has perhaps not accepted."""
        return len(self._unaccepted)

    def oldest_unaccepted(self) -> _Connection | None:
        """The oldest connection, after the first ``closed_for_waiting``, that is perhaps not accepted; else None."""
        return next(islice(self._unaccepted, self.closed_for_waiting, None), None)

    def dialled(self, connection: _Connection) -> None:
        """A connection is being made."""
        self._unaccepted[connection] = None

    def closed(self, connection: _Connection) -> None:
        """A connection is closed."""
        self._unaccepted.pop(connection, None)
        if not self._unaccepted:
            self._begin_again()

    def evicted(self, connections: int) -> None:
        """An accepted connection is about to be closed for one that waits.

        :param connections: the number of connections, it included.
        """
        self._most_accepted = max(self._most_accepted, connections - len(self._unaccepted) + self.closed_for_waiting)
        self._closed += 1
        self.closed_for_waiting += 1

    def answered(self, connection: _Connection, connections: int, *, may_learn: bool = True) -> bool:
        """The first answer arrived on a connection.

        :param connections: the number of connections.
        :returns: whether the estimate seems too small; :meth:`withdraw` decides shortly afterwards.
        """
        before = len(self._unaccepted)
        # If it is not there, a younger connection was answered before.
        while connection in self._unaccepted:
            self._unaccepted.popitem(last=False)
        self.closed_for_waiting = max(0, self.closed_for_waiting - before + len(self._unaccepted))
        accepted = connections - len(self._unaccepted)
        if not self._unaccepted:
            self._begin_again()
        elif accepted + self.closed_for_waiting > self._most_accepted:
            self._most_accepted = accepted + self.closed_for_waiting
            self._answers = self._closed = 0
        elif self._answers < self._closed:
            self._answers += 1
            if may_learn:
                self._learn()
        return 0 < self.workers < accepted

    def withdraw(self, connections: int) -> bool:
        """Withdraw the estimate if the application has accepted more connections.

        :returns: whether it was withdrawn.
        """
        if not 0 < self.workers < connections - len(self._unaccepted):
            return False
        self.workers = 0
        self.changes += 1
        self._begin_again()
        return True

    def _learn(self) -> None:
        """Make the estimate if there are enough answers for it."""
        rounds = _ROUNDS if self._most_accepted >= self.workers else _ROUNDS_TO_LOWER
        if self._answers < max(rounds * self._most_accepted, _MIN_ANSWERS):
            return
        if self.workers != self._most_accepted:
            self.workers = self._most_accepted
            self.changes += 1
        self._answers = self._closed = 0

    def _begin_again(self) -> None:
        self._most_accepted = self._answers = self._closed = self.closed_for_waiting = 0
