"""What a dialect of stickiness is: pure verbs and their evidence. No I/O, no clock, no chance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from attrs import frozen

from lbcompanion.model import RoutingCookie


@frozen
class Sample:
    """One piece of evidence: a real ``Cookie`` header and what must be read from it.

    :ivar cookie: the header's value.
    :ivar reads: the routing cookies expected, smallest replay, as ``((name, value), ...)``; empty: nothing to read.
    :ivar node: the node text expected from :meth:`Dialect.reveal`; None where the dialect cannot tell.
    :ivar source: manual, source file or measurement it comes from.
    :ivar names: the configured names, for a dialect whose cookie has no name of its own.
    :ivar allow: names whose whole value may be read though it may be a session's.
    """

    cookie: str
    reads: tuple[tuple[str, str], ...]
    node: str | None
    source: str
    names: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


class Dialect(Protocol):
    """One balancer's way of writing stickiness."""

    @property
    def name(self) -> str:
        """Product first, mode after it, such as ``haproxy-insert``."""
        ...

    @property
    def moves_visitor(self) -> bool:
        """Whether a replay of a visitor's value while its node is down could move that visitor for good."""
        ...

    @property
    def cookie_names(self) -> tuple[str, ...]:
        """Names or ``/patterns/`` that the cookie has where nobody configured another; empty where it has none."""
        ...

    @property
    def samples(self) -> tuple[Sample, ...]:
        """The evidence, run by the contract suite."""
        ...

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Find this dialect's routing cookies and cut them down to what the balancer needs.

        :param cookies: what :func:`lbcompanion.sticky.cookies.parse` gives: first duplicate wins, values raw.
        :param names: the configured cookie names or ``/patterns/``; empty: those the dialect is known by.
        :param allow: names or ``/patterns/`` whose whole value may be read though it may be a session's.
        :returns: none where there is none; never a session credential that is not allowed.
        """
        ...

    def recognises(self, name: str, value: str) -> bool:
        """Whether this cookie, whole or cut down, is this dialect's beyond reasonable doubt, by its name and shape."""
        ...

    def reveal(self, cookie: RoutingCookie) -> str | None:
        """The balancer's own text for the node (a route, a server name, ``ip:port``), where the cookie tells it."""
        ...

    def forge(self, node: str, names: tuple[str, ...]) -> RoutingCookie | None:
        """The routing cookie for a node's text, where it can be computed."""
        ...
