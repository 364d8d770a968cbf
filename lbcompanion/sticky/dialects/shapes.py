"""Base classes of dialects for the common shapes of routing cookies.

All read cookies in the header's order and keep every one that is theirs: two tiers of balancers need both.
"""

from __future__ import annotations

import re
from abc import ABCMeta, abstractmethod
from collections.abc import Mapping
from enum import Enum
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from attrs.converters import optional

from lbcompanion.model import RoutingCookie
from lbcompanion.sticky.cookies import is_pattern, names_match, set_cookie_pairs
from lbcompanion.sticky.credentials import ID_LENGTH, looks_like_credential, looks_like_id, looks_like_node_text
from lbcompanion.sticky.dialects.interface import Dialect, NodeFacts, Sample
from lbcompanion.sticky.dialects.old_names import rename_in_class, renamed_arguments

#: A route, server name or clone id between separators. A longer text is not a node's name but part of a secret.
NODE_TEXT = r"[A-Za-z0-9_.:-]{1,64}"
# Several routes in a row follow a session's id; a shorter head is that of a signed text, ``h.payload.sig``.
_LEAST_ID_BEFORE_ROUTES = 8


def compiled(text: str) -> re.Pattern[str]:
    """A form of ASCII text."""
    return re.compile(text, re.ASCII)


def first_literal(names: tuple[str, ...]) -> str | None:
    """The first name that is not a pattern: the name of a computed cookie."""
    return next((name for name in names if not is_pattern(name)), None)


class Signal(Enum):
    """The meaning of a ``Set-Cookie`` of the sticky name in the response to a replay."""

    ONLY_IF_MOVED = "the balancer sets it only if the replay reached another node"
    COMPARED = "the balancer may set it at any time; it names the node that answered"
    SILENT = "none, or the balancer never sets it, or this is not known"
    WHERE_MOVED = ONLY_IF_MOVED  # the old name, for one release


class _OldArguments(ABCMeta):
    """Shapes take their arguments under old names too, for one release."""

    def __call__(cls, *args: Any, **arguments: Any) -> Any:
        return super().__call__(*args, **renamed_arguments(cls.__qualname__, arguments))


@frozen(kw_only=True)
class Shape(metaclass=_OldArguments):
    """Base class of all dialects: :class:`lbcompanion.sticky.dialects.interface.Dialect` by one method per value.

    :ivar moves_visitor: whether a replay while the node is down could move the visitor; true unless a dialect knows
        that a replay is harmless.
    :ivar signal: how a response shows that a replay reached another node.
    :ivar hash_keyed: whether the balancer hashes any text of the application's.
    """

    name: str
    samples: tuple[Sample, ...] = field(repr=False)
    cookie_names: tuple[str, ...] = ()
    moves_visitor: bool = True
    configurable_name: bool = True
    never_record: str = ""
    signal: Signal = Signal.SILENT
    hash_keyed: bool = False

    def __init_subclass__(cls) -> None:
        """Make methods and fields known under their old and new names, for one release."""
        rename_in_class(cls)

    @property
    def keyed(self) -> bool:
        """The old name of :attr:`hash_keyed`."""
        return self.hash_keyed

    @property
    def held_back(self) -> str:
        """The old name of :attr:`never_record`."""
        return self.never_record

    @property
    def renamable(self) -> bool:
        """The old name of :attr:`configurable_name`."""
        return self.configurable_name

    @abstractmethod
    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The smallest replay of one cookie whose name fits; None where its value is not this dialect's."""

    def may_be_recorded(self, name: str, value: str, allowed: bool) -> bool:
        """Whether a value that has this dialect's form may be recorded: it is allowed, its name is the dialect's own,
        or neither name nor value look like a session's credential (:mod:`lbcompanion.sticky.credentials`)."""
        return allowed or names_match(self.cookie_names, name) or not looks_like_credential(name, value)

    @abstractmethod
    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The balancer's own text for the node, where the cookie tells it."""

    def write(self, node: NodeFacts) -> str | None:
        """The value for a node, where it can be computed."""
        return None

    def recognises(self, name: str, value: str) -> bool:
        """Whether the name is this dialect's own, and the value fits."""
        return names_match(self.cookie_names, name) and self.reduce(name, value, False) is not None

    def read(
        self, cookies: Mapping[str, str], names: tuple[str, ...], allow: tuple[str, ...] = ()
    ) -> tuple[RoutingCookie, ...]:
        """Find this dialect's routing cookies, cut down."""
        wanted = names or self.cookie_names
        found = []
        for name, value in cookies.items():
            if value and names_match(wanted, name):
                reduced = self.reduce(name, value, names_match(allow, name))
                if reduced is not None:
                    found.append(RoutingCookie(name, reduced))
        return tuple(found)

    def compute(self, node: NodeFacts, names: tuple[str, ...]) -> RoutingCookie | None:
        """The routing cookie for a node, if both name and value can be computed."""
        name, value = first_literal(names or self.cookie_names), self.write(node)
        return RoutingCookie(name, value) if name and value else None

    def detects_move(self, sent: tuple[RoutingCookie, ...], set_cookies: tuple[str, ...]) -> bool | None:
        """Whether the answer hands out another node's cookie in the place of one that was sent."""
        if self.signal is Signal.SILENT or not sent:
            return None
        new_values = set_cookie_pairs(set_cookies)
        moves = [self._detects_move(cookie, new_values.get(cookie.name)) for cookie in sent]
        return True if True in moves else None if None in moves else False

    def _detects_move(self, sent: RoutingCookie, new_value: str | None) -> bool | None:
        if new_value is None:
            return False if self.signal is Signal.ONLY_IF_MOVED else None
        reduced = self.reduce(sent.name, new_value, True)
        # A value of another form was set by other software, such as the application.
        return None if reduced is None else not self.same_node(sent, RoutingCookie(sent.name, reduced))

    def same_node(self, first: RoutingCookie, second: RoutingCookie) -> bool:
        """Whether two replays are for one node; a node's text decides where there is one, since forms change."""
        if first.value == second.value:
            return True
        node = self.node_of(first)
        return node is not None and node == self.node_of(second)


rename_in_class(Shape)


@frozen(kw_only=True)
class WholeValue(Shape):
    """The whole value of a cookie is the balancer's.

    :ivar form: what the value looks like, as a regular expression.
    :ivar own_form: what is recognised under the dialect's own names, if ``form`` matches too much; None means ``form``.
    :ivar tells_node: whether the value is the balancer's own text for the node.
    :ivar only_allowed: whether the value is a visitor's session by definition, so that only ``allow`` sets it free.
    """

    form: re.Pattern[str] = field(default=r".+", converter=compiled)
    own_form: re.Pattern[str] | None = field(default=None, converter=optional(compiled))
    tells_node: bool = False
    only_allowed: bool = False

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The whole value, unless it may be a session's; a cookie with the dialect's own name is not a session's."""
        return value if self.form.fullmatch(value) and self.may_be_recorded(name, value, allowed) else None

    def may_be_recorded(self, name: str, value: str, allowed: bool) -> bool:
        """If the value is a session's by definition: whether it is allowed, or its name is the dialect's own."""
        if self.only_allowed:
            return allowed or names_match(self.cookie_names, name)
        return super().may_be_recorded(name, value, allowed)

    def recognises(self, name: str, value: str) -> bool:
        """Whether the name is this dialect's own, and the value has the form that it has under that name."""
        if self.own_form is None:
            return super().recognises(name, value)
        return names_match(self.cookie_names, name) and self.own_form.fullmatch(value) is not None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The value, where it is the node's own text."""
        return cookie.value if self.tells_node and self.form.fullmatch(cookie.value) else None

    def write(self, node: NodeFacts) -> str | None:
        """The node's text, where that is the value: its name, or an id that stands for its address."""
        texts = (node.name, node.address) if self.tells_node else ()
        return next((text for text in texts if self.form.fullmatch(text)), None)


@frozen(kw_only=True)
class AfterSeparator(Shape):
    """The node's text follows the first separator, after a visitor's value; the node's text is enough.

    Sessions contain separators too: ``node1.SECRET``, ``payload.time.signature``. The text after the separator counts
    as the node's if the text before it is empty, if it is plain, or if it is short and follows an id of full length.

    :ivar separator: one character; a part of the replay.
    """

    separator: str = "."
    form: re.Pattern[str] = field(default=NODE_TEXT, converter=compiled)

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """``abc.node1`` becomes ``.node1``."""
        head, _, node = value.partition(self.separator)
        if not self.form.fullmatch(node):
            return None
        return self.separator + node if allowed or self._is_node_text(head, node) else None

    def _is_node_text(self, head: str, node: str) -> bool:
        if not head:  # a replay, cut down or made by us
            return True
        if self.separator in node and len(head) < _LEAST_ID_BEFORE_ROUTES:
            return False
        return looks_like_node_text(node) or (len(node) < ID_LENGTH and looks_like_id(head))

    def recognises(self, name: str, value: str) -> bool:
        """Whether the name is this dialect's own, and no id of a session follows the separator."""
        return super().recognises(name, value) and not looks_like_id(value.partition(self.separator)[2])

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The text after the separator."""
        node = cookie.value.partition(self.separator)[2]
        return node if self.form.fullmatch(node) else None

    def write(self, node: NodeFacts) -> str | None:
        """The separator and the node's name."""
        return self.separator + node.name if self.form.fullmatch(node.name) else None


@frozen(kw_only=True)
class BeforeSeparator(Shape):
    """The node's text precedes the first separator; the rest is not needed.

    :ivar keeps_separator: whether the replay ends with the separator.
    """

    separator: str = "~"
    keeps_separator: bool = True
    form: re.Pattern[str] = field(default=NODE_TEXT, converter=compiled)

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """``n2~abc`` becomes ``n2~``; if a whole session precedes the separator, nothing is read."""
        node, separator, rest = value.partition(self.separator)
        if not self.form.fullmatch(node) or (self.keeps_separator and not separator):
            return None
        if self.keeps_separator and rest and not allowed and looks_like_id(node):
            return None
        return node + separator if self.keeps_separator else node

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """The text before the separator."""
        node = cookie.value.partition(self.separator)[0]
        return node if self.form.fullmatch(node) else None

    def write(self, node: NodeFacts) -> str | None:
        """The node's name, and the separator where it is needed."""
        if not self.form.fullmatch(node.name) or self.separator in node.name:
            return None
        return node.name + self.separator if self.keeps_separator else node.name


@frozen(kw_only=True)
class KeyBeforeBar(BeforeSeparator):
    """A text that does not name the node precedes a bar; the rest is not needed."""

    separator: str = "|"
    keeps_separator: bool = False

    def reduce(self, name: str, value: str, allowed: bool) -> str | None:
        """The text before the bar, unless it may be a session's; a cookie with the dialect's own name is not."""
        key = super().reduce(name, value, allowed)
        return key if key is not None and self.may_be_recorded(name, key, allowed) else None

    def node_of(self, cookie: RoutingCookie) -> str | None:
        """Return None: the cookie does not name the node."""
        return None

    def write(self, node: NodeFacts) -> str | None:
        """Return None: the value cannot be computed."""
        return None


if TYPE_CHECKING:
    # Dialects are loaded by their names; their shapes are checked here.
    _: type[Dialect] = WholeValue
    _ = AfterSeparator
    _ = BeforeSeparator
