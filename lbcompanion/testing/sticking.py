"""How balancers stick, as pure models: which node gets a request, and what the visitor is told to remember.

Each model has its manual in ``lbcompanion/sticky/dialects``; here is only what it does, without I/O. That a model does
what the real balancer does is tested by long random walks through both (``tests/e2e/test_oracle.py``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from typing import Protocol

from attrs import Factory, define, evolve, field, frozen

#: Cookies as they came, in order, duplicates and all.
Pairs = Sequence[tuple[str, str]]


def pairs(header: str) -> list[tuple[str, str]]:
    """Read a ``Cookie`` header as balancers do, with all duplicates."""
    split = (piece.partition("=") for piece in header.split(";"))
    return [(name.strip(" \t"), value.strip(" \t")) for name, equals, value in split if equals and name.strip(" \t")]


@frozen
class Standing:
    """What the balancer takes its nodes for.

    :ivar up: those that take everybody, in the order of its configuration.
    :ivar draining: those that take only who is theirs already.
    """

    up: tuple[str, ...]
    draining: frozenset[str] = frozenset()
    usable: frozenset[str] = field(
        init=False, repr=False, default=Factory(lambda self: self.draining | frozenset(self.up), takes_self=True)
    )


@frozen
class Foresight:
    """What may become of a request, before it does.

    :ivar nodes: where it may go, one of them; none: it is refused.
    :ivar stuck: whether it is the cookie that decided.
    """

    nodes: tuple[str, ...]
    stuck: bool = False


@frozen
class Choice:
    """What became of one request.

    :ivar node: where it went; empty: nowhere.
    :ivar set_cookies: what the answer says in addition.
    :ivar bound: the key that the request bound to a node, for the first time or anew; empty: none.
    """

    node: str
    set_cookies: tuple[str, ...] = ()
    bound: str = ""


class Sticking(Protocol):
    """One balancer's way."""

    def foresee(self, cookies: Pairs, standing: Standing) -> Foresight:
        """Say where a request may go; changes nothing."""
        ...

    def settle(self, cookies: Pairs, standing: Standing, node: str) -> Choice:
        """A request went to a node, one of those foreseen: say what else follows, and remember it."""
        ...

    def choose(self, cookies: Pairs, standing: Standing) -> Choice:
        """Choose one of the nodes foreseen, and settle that."""
        ...

    def shown(self, cookies: Pairs) -> Pairs:
        """What the node gets to see of a request's cookies."""
        ...

    def answered(self, node: str, given: Pairs) -> Pairs:
        """What the visitor gets to see of the cookies that a node's answer sets; and remember them."""
        ...


@define
class Turns:
    """Round robin."""

    _count: int = 0

    def next(self, up: Sequence[str]) -> str:
        """The next node; empty where none is up."""
        self._count += 1
        return up[self._count % len(up)] if up else ""


@define
class NoStickiness:
    """Every request goes to the next node."""

    turns: Turns = field(factory=Turns, kw_only=True)

    def foresee(self, cookies: Pairs, standing: Standing) -> Foresight:
        """See :class:`Sticking`, here and below."""
        return Foresight(standing.up)

    def settle(self, cookies: Pairs, standing: Standing, node: str) -> Choice:
        """Nothing follows."""
        return Choice(node)

    def choose(self, cookies: Pairs, standing: Standing) -> Choice:
        """By turns where there is freedom."""
        seen = self.foresee(cookies, standing)
        node = seen.nodes[0] if seen.stuck else self.turns.next(seen.nodes)
        return self.settle(cookies, standing, node) if node else Choice("")

    def shown(self, cookies: Pairs) -> Pairs:
        """All."""
        return cookies

    def answered(self, node: str, given: Pairs) -> Pairs:
        """All."""
        return given


class Mark(Enum):
    """What a balancer does to a cookie that the application sets under the sticky name."""

    NONE = "it stays as it is"
    DROPPED = "the balancer's own comes in its place"
    PREFIXED = "the node's text and a tilde are put before it"
    REPLACED = "the node's text comes in its place"


@define
class Inserting(NoStickiness):
    """A cookie's value names a node: one that can be used gets the request, else the next one in turn does, and the
    answer has a new cookie. ``cookie NAME insert`` of HAProxy, and all that do alike.

    :ivar values: node to the text in the cookie; what is missing stands for itself.
    :ivar indirect: whether the node is not shown the cookie.
    :ivar attributes: what stands behind the value.
    :ivar gives: whether the balancer sets the cookie by itself.
    :ivar mark: what becomes of the application's cookie of that name.
    :ivar first_only: whether of several cookies of the name the first alone counts, wherever it leads.
    :ivar read: finds the text in a cookie's value.
    :ivar write: makes a cookie's value of the text.
    """

    name: str = "SRV"
    values: Mapping[str, str] = field(factory=dict)
    indirect: bool = False
    attributes: str = "; path=/"
    gives: bool = True
    mark: Mark = Mark.NONE
    first_only: bool = False
    read: Callable[[str], str] = str
    write: Callable[[str], str] = str
    _nodes: dict[str, str] = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.rotate(self.values)

    def rotate(self, values: Mapping[str, str]) -> None:
        """From now on other texts stand for the nodes; the old ones are void."""
        self.values = values
        self._nodes = {text: node for node, text in values.items()}

    def _led_to(self, value: str) -> str:
        text = self.read(value)
        return self._nodes.get(text) or ("" if text in self.values else text)

    def foresee(self, cookies: Pairs, standing: Standing) -> Foresight:
        """The first cookie that leads to a usable node decides."""
        for name, value in cookies:
            if name == self.name:
                node = self._led_to(value)
                if node in standing.usable:
                    return Foresight((node,), True)
                if self.first_only:
                    break
        return Foresight(standing.up)

    def cookie(self, node: str) -> str:
        """The value for a node."""
        return self.write(self.values.get(node, node))

    def settle(self, cookies: Pairs, standing: Standing, node: str) -> Choice:
        """Who did not stick gets a cookie."""
        if not self.gives or self.foresee(cookies, standing).stuck:
            return Choice(node)
        return Choice(node, (f"{self.name}={self.cookie(node)}{self.attributes}",))

    def shown(self, cookies: Pairs) -> Pairs:
        """Without the sticky cookie; or without the balancer's part of it."""
        if self.indirect:
            return [pair for pair in cookies if pair[0] != self.name]
        if self.mark is Mark.PREFIXED:
            return [(name, _behind_tilde(value) if name == self.name else value) for name, value in cookies]
        return cookies

    def answered(self, node: str, given: Pairs) -> Pairs:
        """With the node's text in it, or before it."""
        if self.mark is Mark.NONE:
            return given
        text = self.values.get(node, node)
        kept = [pair for pair in given if pair[0] != self.name or self.mark is not Mark.DROPPED]
        before = f"{text}~" if self.mark is Mark.PREFIXED else ""
        return [
            (name, (f"{before}{value}" if before else text) if name == self.name else value) for name, value in kept
        ]


def _behind_tilde(value: str) -> str:
    _, tilde, behind = value.partition("~")
    return behind if tilde else value


@define
class Remembering(NoStickiness):
    """``stick on req.cook(NAME)`` of HAProxy: the balancer's own table binds a cookie's value to a node, and binds it
    anew where that node is down. What becomes of an empty value is not modelled: HAProxy 2.6 takes it for a key now and
    then, for whose it cannot be told.

    :ivar learns: whether an answer that sets the cookie binds it too (``stick store-response res.cook(NAME)``).
    """

    name: str = "sess"
    learns: bool = False
    table: dict[str, str] = field(factory=dict)

    def _key(self, cookies: Pairs) -> str | None:
        # Of several the last, other than anywhere else: so says HAProxy's manual of req.cook, and so it does.
        return next((value for name, value in reversed(cookies) if name == self.name), None)

    def foresee(self, cookies: Pairs, standing: Standing) -> Foresight:
        """Where the key is bound to."""
        key = self._key(cookies)
        bound = "" if key is None else self.table.get(key, "")
        return Foresight((bound,), True) if bound in standing.usable else Foresight(standing.up)

    def settle(self, cookies: Pairs, standing: Standing, node: str) -> Choice:
        """The key is bound there."""
        key = self._key(cookies)
        if key is None or self.table.get(key) == node:
            return Choice(node)
        self.table[key] = node
        return Choice(node, bound=key)

    def answered(self, node: str, given: Pairs) -> Pairs:
        """All; a session that has just begun is bound as well."""
        if self.learns:
            self.table.update({value: node for name, value in given if name == self.name and value})
        return given


@define
class TwoTiers(NoStickiness):
    """A balancer that chooses a group of nodes, and behind it one for each group.

    :ivar groups: group to its nodes.
    :ivar inner: group to what its balancer does.
    """

    outer: Inserting = field(factory=lambda: Inserting("DC"))
    groups: Mapping[str, tuple[str, ...]] = field(factory=dict)
    inner: Mapping[str, Inserting] = field(factory=dict)

    def _outside(self, standing: Standing) -> Standing:
        """A group is up while one of its nodes is."""
        up = tuple(group for group, nodes in self.groups.items() if any(node in standing.up for node in nodes))
        used = frozenset(group for group, nodes in self.groups.items() if standing.usable.intersection(nodes))
        return Standing(up, used - frozenset(up))

    def _inside(self, group: str, standing: Standing) -> Standing:
        nodes = self.groups[group]
        up = tuple(node for node in nodes if node in standing.up)
        return evolve(standing, up=up, draining=standing.draining.intersection(nodes))

    def foresee(self, cookies: Pairs, standing: Standing) -> Foresight:
        """All that may come of both."""
        groups = self.outer.foresee(cookies, self._outside(standing))
        inner = [self.inner[group].foresee(cookies, self._inside(group, standing)) for group in groups.nodes]
        nodes = tuple(node for each in inner for node in each.nodes)
        return Foresight(nodes, groups.stuck and all(each.stuck for each in inner))

    def choose(self, cookies: Pairs, standing: Standing) -> Choice:
        """The one behind the other."""
        first = self.outer.choose(cookies, self._outside(standing))
        if not first.node:
            return first
        then = self.inner[first.node].choose(cookies, self._inside(first.node, standing))
        return Choice(then.node, (*then.set_cookies, *first.set_cookies))

    def settle(self, cookies: Pairs, standing: Standing, node: str) -> Choice:
        """Each gives its own cookie."""
        group = next(group for group, nodes in self.groups.items() if node in nodes)
        first = self.outer.settle(cookies, self._outside(standing), group)
        then = self.inner[group].settle(cookies, self._inside(group, standing), node)
        return Choice(node, (*then.set_cookies, *first.set_cookies))
