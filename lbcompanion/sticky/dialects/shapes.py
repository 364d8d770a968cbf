"""The shapes in which balancers write stickiness; a dialect is one of them, filled in.

All read cookies in the header's order and keep every one that is theirs: two tiers of balancers need both.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping

from attrs import field, frozen

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import is_pattern, names_match
from lbcompanion.sticky.credentials import looks_like_credential
from lbcompanion.sticky.dialects.interface import Sample

#: A route, server name or clone id, as its separators leave it. Longer is no node's name, but a secret's tail.
NODE_TEXT = r"[A-Za-z0-9_.:-]{1,64}"


def compiled(text: str) -> re.Pattern[str]:
    """A form of ASCII text."""
    return re.compile(text, re.ASCII)


def first_plain(names: tuple[str, ...]) -> str | None:
    """The first of the names that is no pattern: under it a cookie can be forged."""
    return next((name for name in names if not is_pattern(name)), None)


@frozen(kw_only=True)
class Shape(ABC):
    """What all dialects have in common. See :class:`lbcompanion.sticky.dialects.interface.Dialect`."""

    name: str
    samples: tuple[Sample, ...] = field(repr=False)
    cookie_names: tuple[str, ...] = ()
    moves_visitor: bool = False

    @abstractmethod
    def cut(self, name: str, value: str, allowed: bool) -> str | None:
        """The smallest replay of one cookie whose name fits; None where its value is not this dialect's."""

    @abstractmethod
    def reveal(self, cookie: RoutingCookie) -> str | None:
        """The balancer's own text for the node, where the cookie tells it."""

    def write(self, node: str) -> str | None:
        """The value for a node's text, where it can be computed."""
        return None

    def recognises(self, name: str, value: str) -> bool:
        """Whether the name is this dialect's own, and the value fits."""
        return names_match(self.cookie_names, name) and self.cut(name, value, False) is not None

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Find this dialect's routing cookies, cut down."""
        wanted = names or self.cookie_names
        found = []
        for name, value in cookies.items():
            if value and names_match(wanted, name):
                cut = self.cut(name, value, names_match(allow, name))
                if cut is not None:
                    found.append(RoutingCookie(name, cut))
        return tuple(found)

    def forge(self, node: str, names: tuple[str, ...]) -> RoutingCookie | None:
        """The routing cookie for a node's text, where both name and value can be told."""
        name, value = first_plain(names or self.cookie_names), self.write(node)
        return RoutingCookie(name, value) if name and value else None


@frozen(kw_only=True)
class WholeValue(Shape):
    """The whole value of a cookie is the balancer's.

    :ivar form: what the value looks like, as a regular expression.
    :ivar tells_node: whether the value is the balancer's own text for the node.
    :ivar only_allowed: whether the value is a visitor's session by definition, so that only ``allow`` sets it free.
    """

    form: re.Pattern[str] = field(default=r".+", converter=compiled)
    tells_node: bool = False
    only_allowed: bool = False

    def cut(self, name: str, value: str, allowed: bool) -> str | None:
        """The value as it is, unless it may be a session's; a cookie of the dialect's own name is none."""
        if not self.form.fullmatch(value):
            return None
        if allowed or names_match(self.cookie_names, name):
            return value
        return None if self.only_allowed or looks_like_credential(name, value) else value

    def reveal(self, cookie: RoutingCookie) -> str | None:
        """The value, where it is the node's own text."""
        return cookie.value if self.tells_node and self.form.fullmatch(cookie.value) else None

    def write(self, node: str) -> str | None:
        """The node's text, where that is the value."""
        return node if self.tells_node and self.form.fullmatch(node) else None


@frozen(kw_only=True)
class AfterSeparator(Shape):
    """The node's text stands after the first separator, a visitor's value before it; the former is enough.

    :ivar separator: one character; a part of the replay.
    """

    separator: str = "."
    form: re.Pattern[str] = field(default=NODE_TEXT, converter=compiled)

    def cut(self, name: str, value: str, allowed: bool) -> str | None:
        """``abc.node1`` becomes ``.node1``."""
        node = value.partition(self.separator)[2]
        return self.separator + node if self.form.fullmatch(node) else None

    def reveal(self, cookie: RoutingCookie) -> str | None:
        """What stands after the separator."""
        node = cookie.value.partition(self.separator)[2]
        return node if self.form.fullmatch(node) else None

    def write(self, node: str) -> str | None:
        """The separator and the node's text."""
        return self.separator + node if self.form.fullmatch(node) else None


@frozen(kw_only=True)
class BeforeSeparator(Shape):
    """The node's text stands before the first separator, and what follows is not needed.

    :ivar keeps_separator: whether the replay ends with the separator.
    """

    separator: str = "~"
    keeps_separator: bool = True
    form: re.Pattern[str] = field(default=NODE_TEXT, converter=compiled)

    def cut(self, name: str, value: str, allowed: bool) -> str | None:
        """``n2~abc`` becomes ``n2~``."""
        node, separator, _ = value.partition(self.separator)
        if not self.form.fullmatch(node) or (self.keeps_separator and not separator):
            return None
        return node + separator if self.keeps_separator else node

    def reveal(self, cookie: RoutingCookie) -> str | None:
        """What stands before the separator."""
        node = cookie.value.partition(self.separator)[0]
        return node if self.form.fullmatch(node) else None

    def write(self, node: str) -> str | None:
        """The node's text, and the separator where it is needed."""
        if not self.form.fullmatch(node) or self.separator in node:
            return None
        return node + self.separator if self.keeps_separator else node
