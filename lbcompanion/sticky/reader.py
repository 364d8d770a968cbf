"""What a site's configuration makes of cookies: which of them route, what of them is kept, what may be replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.cookies import MAX_SENT_BYTES, is_pattern, names_match, render, safe_to_send
from lbcompanion.sticky.credentials import credential_name
from lbcompanion.sticky.dialects import ALL, AUTO, GENERIC, by_name
from lbcompanion.sticky.dialects.interface import Dialect


class CookieReader:
    """Reads cookies as one site's configuration says.

    :param sticky: ``[sticky]`` of a node, or the same keys of a crawler's site.
    :raises KeyError: for a dialect that there is not.
    :raises ValueError: for a pattern that is no regular expression.
    """

    def __init__(self, sticky: StickyTable) -> None:
        for name in (*sticky.cookies, *sticky.allow_credentials):
            is_pattern(name)
        self._names = sticky.cookies
        self._allow = sticky.allow_credentials
        self._fixed = None if sticky.dialect == AUTO else by_name(sticky.dialect)

    def read(self, cookies: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        """The routing cookies among these, each cut down to its routing part, in their order. Several tiers of
        balancers have one each, and all are kept; but for what could not be sent again (see
        :func:`lbcompanion.sticky.cookies.safe_to_send`).

        :param cookies: what :func:`lbcompanion.sticky.cookies.parse` gives, or what the script read.
        """
        sendable, weight = [], 0
        for cookie in self._found(cookies):
            line_bytes = len(render([cookie])) + len("; ")
            if safe_to_send([cookie]) and weight + line_bytes <= MAX_SENT_BYTES:
                sendable.append(cookie)
                weight += line_bytes
        return tuple(sendable)

    def _found(self, cookies: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        if self._fixed is not None:
            return self._fixed.read(cookies, self._names, self._allow)
        kept: dict[str, RoutingCookie] = {}
        for dialect, share in self._shares(cookies):
            # An allowed name was set free as a whole; a dialect that knows its form still cuts it down.
            for cookie in dialect.read(share, self._names or tuple(share), self._allow):
                kept[cookie.name] = cookie
        return tuple(kept[name] for name in cookies if name in kept)

    def merge(self, request: Mapping[str, str], script: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        """The routing cookies of one visit, seen from both sides.

        Per name, of the request's value and the script's the one that can be cut down to a routing part, the
        request's if both can. Without a fixed dialect a value whose form is recognised comes before one that is not:
        behind a HAProxy prefix the node sees ``abc``, the script ``n2~abc``.
        """
        chosen = {}
        for name in [*request, *(name for name in script if name not in request)]:
            value = self._better(name, [side[name] for side in (request, script) if name in side])
            if value is not None:
                chosen[name] = value
        return self.read(chosen)

    def replay_is_safe(self, cookies: Iterable[tuple[str, str]]) -> bool:
        """Whether these routing cookies may be sent while their node's state is not known.

        False where any is of a dialect in which a replay could move the visitor, or of none that is known.
        """
        return all(self._is_safe(name, value) for name, value in cookies)

    def names_for_script(self) -> list[str]:
        """The names and ``/patterns/`` of the cookies that the script in the page shall read.

        Where none is configured, a session's cookie is left out: the request shows the node what it needs of it.
        """
        if self._names:
            return list(self._names)
        if self._fixed is not None:
            return list(self._fixed.cookie_names)
        known = dict.fromkeys(name for dialect in ALL for name in dialect.cookie_names)
        return [name for name in known if is_pattern(name) or not credential_name(name)]

    def dialect_of(self, name: str, value: str) -> Dialect | None:
        """Whose cookie this is: the fixed dialect's if it can read it, else that of the first one to recognise it,
        else ``generic`` where the name is configured; None where it is nobody's."""
        if self._fixed is not None:
            return self._fixed if self._fixed.read({name: value}, self._names, self._allow) else None
        if self._names and not names_match(self._names, name):
            return None
        # Without configured names only a name that a dialect is known by counts: a shape alone is too little then.
        for dialect in ALL:
            known = bool(self._names) or names_match(dialect.cookie_names, name)
            if known and dialect.recognises(name, value):
                return dialect
        return GENERIC if self._names else None

    def _shares(self, cookies: Mapping[str, str]) -> list[tuple[Dialect, dict[str, str]]]:
        """The cookies by their dialect: some dialects look at several together."""
        shares: dict[str, tuple[Dialect, dict[str, str]]] = {}
        for name, value in cookies.items():
            dialect = self.dialect_of(name, value)
            if dialect is not None:
                shares.setdefault(dialect.name, (dialect, {}))[1][name] = value
        return list(shares.values())

    def _better(self, name: str, values: list[str]) -> str | None:
        readable = [value for value in values if self.read({name: value})]
        if self._fixed is None:
            told = [value for value in readable if self.dialect_of(name, value) is not GENERIC]
            readable = told or readable
        return readable[0] if readable else None

    def _is_safe(self, name: str, value: str) -> bool:
        dialect = self.dialect_of(name, value)
        return dialect is not None and not dialect.moves_visitor
