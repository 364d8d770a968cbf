"""How many connections are made to an application before it has shown that it accepts them. No clock."""

from __future__ import annotations

#: The number of connections that are made at once to an application of which nothing is known.
FIRST_SIZE = 8
# The window while an estimate may be made. No estimate is made while all connections are accepted.
_SMALLEST_TO_LEARN = 4
# After a connection made way for one beyond a window of one, the next one beyond it is made after this many requests
# for each proven connection, doubled each time.
_PAUSE_ROUNDS = (2, 32)


class DialWindow:
    """The number of connections that may wait for the application at a time, while no limit is known.

    An application with few workers leaves new connections in the kernel's queue, where they get no answer while the
    workers wait on kept connections. A request that waits in the companion gets the next free connection instead. So
    only ``size`` connections may be unaccepted at a time. An application that accepts all is not held back for long:
    the window grows by one with each proof that more is accepted, which doubles it in each round trip. It doubles when
    no request got a connection for a moment, and when the application keeps no connection after a response. As many
    connections as were ever accepted at once are always allowed.

    :ivar size: how many connections may be made that the application has perhaps not accepted.
    :ivar proven: how many connections the application had accepted at once.
    """

    __slots__ = ("_pause_rounds", "_pause_until", "proven", "size")

    def __init__(self) -> None:
        self.size = FIRST_SIZE
        self.proven = 0
        self._pause_rounds = self._pause_until = 0

    def allows(self, connections: int, unaccepted: int, requests: int) -> bool:
        """Whether another connection may be made.

        :param connections: the number of connections.
        :param unaccepted: how many of these the application has perhaps not accepted.
        :param requests: how many requests got a connection since the start.
        """
        return connections < self.proven or (unaccepted < self.size and requests >= self._pause_until)

    def accepted(self, connections: int, *, is_limiting: bool) -> None:
        """The application has accepted this many connections.

        :param is_limiting: whether requests wait because of the window; else it does not grow.
        """
        if connections > self.proven:
            self.proven = connections
            if is_limiting:
                self._resize(self.size + 1)

    def not_kept(self, unaccepted: int) -> None:
        """The application did not keep a connection after its first response, so no kept one holds a worker.

        :param unaccepted: how many connections the application has perhaps not accepted.
        """
        if 2 * unaccepted >= self.size:
            self._resize(2 * self.size)

    def stalled(self) -> None:
        """No request got a connection for a moment."""
        self._resize(2 * self.size)

    def made_way(self, requests: int, *, may_learn: bool) -> None:
        """A connection was closed so that one beyond the proven number is accepted: halve the window, then pause.

        :param may_learn: whether this may lead to an estimate, which needs several unaccepted connections.
        """
        if may_learn:
            self._resize(max(self.size // 2, _SMALLEST_TO_LEARN))
            return
        if self.size > 1:
            self._resize(self.size // 2)
            return
        self._pause_rounds = min(max(2 * self._pause_rounds, _PAUSE_ROUNDS[0]), _PAUSE_ROUNDS[1])
        self._pause_until = requests + self._pause_rounds * self.proven

    def estimated(self, workers: int) -> None:
        """The number of workers is known; a larger number was proven by other means, or before a restart."""
        self.proven = workers

    def withdrawn(self, accepted: int) -> None:
        """The estimate was too small: begin again from the connections that are accepted now."""
        self.proven = accepted
        self._resize(FIRST_SIZE)

    def _resize(self, size: int) -> None:
        self.size = size
        self._pause_rounds = self._pause_until = 0
