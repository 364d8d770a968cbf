"""The interface of a dialect: pure methods and their evidence. No I/O, no clock, no randomness."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from attrs import field, frozen

from lbcompanion.model import RoutingCookie


@frozen
class Sample:
    """One piece of evidence: a real ``Cookie`` header and what must be read from it.

    :ivar cookie: the header's value.
    :ivar reads: the routing cookies expected, smallest replay, as ``((name, value), ...)``; empty: nothing to read.
    :ivar node: the node text expected from :meth:`Dialect.node_of`; None where the dialect cannot tell.
    :ivar source: manual, source file or measurement it comes from.
    :ivar names: the configured names, for a dialect whose cookie has no default name.
    :ivar allow: names whose whole value may be read though it may be a session's.
    """

    cookie: str
    reads: tuple[tuple[str, str], ...]
    node: str | None
    source: str
    names: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()


@frozen
class NodeFacts:
    """The facts of a node that configuration gives; each text is empty if it is not known.

    :ivar name: what the node is called. Where a balancer writes names, its own are taken to be the same.
    :ivar address: the node as the balancer has it: ``10.0.0.11:8080``, ``[2001:db8::11]:8080``, a URL, an instance's
        id. Behind NAT or in a pod that is another address than the node would give.
    :ivar key: the balancer's key or secret, where its cookies are made with one.
    """

    name: str = ""
    address: str = ""
    key: str = field(default="", repr=False)


@runtime_checkable
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
    def hash_keyed(self) -> bool:
        """Whether the balancer hashes a cookie that the application sets. The response that sets it may come from
        another node than the one that the hash selects."""
        ...

    @property
    def cookie_names(self) -> tuple[str, ...]:
        """Default names or ``/patterns/`` of the cookie; empty if it has no default name."""
        ...

    @property
    def configurable_name(self) -> bool:
        """Whether the balancer can be configured to give the cookie another name than those of :attr:`cookie_names`."""
        ...

    @property
    def never_record(self) -> str:
        """Why nothing of this dialect is ever recorded, as the end of a sentence; empty where cookies are."""
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
        :returns: empty if there is no routing cookie; never a session credential that is not allowed.
        """
        ...

    def recognises(self, name: str, value: str) -> bool:
        """Whether this cookie, whole or cut down, is this dialect's beyond reasonable doubt, by its name and shape."""
        ...

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The balancer's own text for the node (a route, a server name, ``ip:port``), where the cookie tells it."""
        ...

    def compute(self, node: NodeFacts, names: tuple[str, ...]) -> RoutingCookie | None:
        """The routing cookie for a node, where it can be computed.

        :param names: the configured names; the first that is no pattern is the cookie's, else the dialect's own.
        """
        ...

    def detects_move(self, sent: tuple[RoutingCookie, ...], set_cookies: tuple[str, ...]) -> bool | None:
        """Whether the answer to a replay says that it went to another node than these cookies are for.

        :param sent: what was sent, as :meth:`read` gives it.
        :param set_cookies: the values of the answer's ``Set-Cookie`` lines.
        :returns: None if that is unknown. It is only a hint: the proof of the answering node is decisive.
        """
        ...
