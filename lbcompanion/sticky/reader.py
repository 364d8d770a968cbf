"""Reads routing cookies by a site's configuration: which cookies route, how they are reduced, what may be replayed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import islice

from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.cookies import MAX_SENT_BYTES, is_pattern, names_match, render, safe_to_send
from lbcompanion.sticky.credentials import is_credential_name
from lbcompanion.sticky.dialects import AUTO, GENERIC, by_name, known
from lbcompanion.sticky.dialects.generic import generic
from lbcompanion.sticky.dialects.interface import Dialect, NodeFacts

# How many names of cookies a reader remembers its findings for: visitors can make up as many as they like.
_NAMES_REMEMBERED = 1024
# And how long such a name may be, since it is kept with them.
_LONGEST_REMEMBERED = 256

#: How many cookies of a request, or of a notice, are looked at: browsers keep at most 180 for one site. A visitor can
#: send thousands, and each of them takes work.
MAX_COOKIES = 200
# The name of one character, ``=``, and ``; ``: a cookie is never shorter on the line.
_MIN_COOKIE_BYTES = len("a=; ")


class CookieReader:
    """Reads cookies as one site's configuration says.

    :param sticky: ``[sticky]`` of a node, or the same keys of a crawler's site.
    :raises KeyError: for a dialect that there is not.
    :raises ValueError: for a pattern that is no regular expression, or a ``part`` that there is not.
    """

    def __init__(self, sticky: StickyTable) -> None:
        for name in (*sticky.cookies, *sticky.allow_credentials):
            is_pattern(name)
        self._names = sticky.cookies
        self._allow = sticky.allow_credentials
        self._dialect = _configured(sticky)
        # Names are few and dialects are many; which of them a name could belong to is found once.
        self._candidates = lru_cache(_NAMES_REMEMBERED)(self._find_candidates)

    @property
    def is_unconfigured(self) -> bool:
        """Whether neither a dialect nor cookie names are configured."""
        return self._dialect is None and not self._names

    @property
    def detects_dialects(self) -> bool:
        """Whether no dialect is configured, so that the dialect is detected for each cookie."""
        return self._dialect is None

    @property
    def knows_names(self) -> bool:
        """Whether the names of the sticky cookies are known: they are configured, or the dialect has default names."""
        return bool(self._names or (self._dialect is not None and self._dialect.cookie_names))

    def read(self, cookies: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        """The routing cookies among these, each reduced to its routing part, in their order.

        Several tiers of balancers have one each. All are kept, except values that cannot be sent
        (:func:`lbcompanion.sticky.cookies.safe_to_send`), and cookies after the first :data:`MAX_COOKIES`.

        :param cookies: what :func:`lbcompanion.sticky.cookies.parse` gives, or what the script read.
        """
        return self._read(_limited(cookies))

    def _read(self, cookies: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        sendable: list[RoutingCookie] = []
        total_bytes = 0
        for cookie in self._routing_cookies(cookies):
            if total_bytes + _MIN_COOKIE_BYTES > MAX_SENT_BYTES:
                break
            line_bytes = len(render([cookie])) + len("; ")
            if safe_to_send([cookie]) and total_bytes + line_bytes <= MAX_SENT_BYTES:
                sendable.append(cookie)
                total_bytes += line_bytes
        return tuple(sendable)

    def _routing_cookies(self, cookies: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        if self._dialect is not None:
            return self._dialect.read(cookies, self._names, self._allow)
        found: dict[str, RoutingCookie] = {}
        for dialect, group in self._grouped_by_dialect(cookies):
            # An allowed value may be recorded whole; a dialect that knows its form still reduces it. Without configured
            # names, a dialect uses its own, which all cookies of its group fit. It never uses the visitor's names:
            # comparing them with each other takes long, and they could be read as patterns.
            for cookie in dialect.read(group, self._names, self._allow):
                found[cookie.name] = cookie
        return tuple(found[name] for name in cookies if name in found)

    def merge(self, request: Mapping[str, str], script: Mapping[str, str]) -> tuple[RoutingCookie, ...]:
        """The routing cookies of one visit, seen from both sides.

        For each name it is the request's value, unless only the script's value can be reduced to a routing part.
        Without a fixed dialect, a value whose form is recognised is preferred: behind a HAProxy prefix the node sees
        ``abc``, the script ``n2~abc``. The first :data:`MAX_COOKIES` cookies of each side are read.
        """
        sides = (_limited(request), _limited(script))
        chosen = {}
        for name in {**sides[0], **sides[1]}:
            chosen[name] = self._better_value(name, [side[name] for side in sides if name in side])
        return self._read(chosen)

    def replay_is_safe(self, cookies: Iterable[tuple[str, str]]) -> bool:
        """Whether these routing cookies may be sent while their node's state is not known.

        False where any is of a dialect in which a replay could move the visitor, or of none that is known.
        """
        sent = dict(cookies)
        if self._dialect is not None:
            read = self._dialect.read(sent, self._names, self._allow)
            return not self._dialect.moves_visitor and {cookie.name for cookie in read} == set(sent)
        dialects = [self.dialect_of(name, value) for name, value in sent.items()]
        return all(dialect is not None and not dialect.moves_visitor for dialect in dialects)

    def replay_is_hash_keyed(self, cookies: Iterable[tuple[str, str]]) -> bool:
        """Whether any of these is a key that may be younger than the page; see
        :attr:`lbcompanion.sticky.dialects.interface.Dialect.hash_keyed`."""
        dialects = [self.dialect_of(name, value) for name, value in cookies]
        return any(dialect is not None and dialect.hash_keyed for dialect in dialects)

    def names_for_script(self) -> list[str]:
        """The names and ``/patterns/`` of the cookies that the script in the page shall read.

        Where none is configured, a session's cookie is left out: the request shows the node what it needs of it.
        """
        if self._names:
            return list(self._names)
        if self._dialect is not None:
            return list(self._dialect.cookie_names)
        readable = [dialect for dialect in known() if not dialect.never_record]
        names = dict.fromkeys(name for dialect in readable for name in dialect.cookie_names)
        return [name for name in names if is_pattern(name) or not is_credential_name(name)]

    def compute(self, node: NodeFacts) -> tuple[RoutingCookie, ...]:
        """A node's routing cookie as the fixed dialect makes it; none where there is no such dialect, or where it needs
        to know more."""
        computed = self._dialect.compute(node, self._names) if self._dialect is not None else None
        return (computed,) if computed is not None and safe_to_send([computed]) else ()

    def detects_move(self, sent: tuple[RoutingCookie, ...], set_cookies: tuple[str, ...]) -> bool | None:
        """Whether the answer to a replay says that it went elsewhere; see
        :meth:`lbcompanion.sticky.dialects.interface.Dialect.detects_move`.

        True if one of the passed balancers detects a move, None if one of them cannot know.
        """
        moves = []
        for cookie in sent:
            dialect = self.dialect_of(cookie.name, cookie.value)
            moves.append(None if dialect is None else dialect.detects_move((cookie,), set_cookies))
        return True if True in moves else None if None in moves or not moves else False

    def dialect_of(self, name: str, value: str) -> Dialect | None:
        """The dialect of this cookie: the fixed one if it can read the cookie, else the first one that recognises it,
        else ``generic`` if the name is configured, else None."""
        if self._dialect is not None:
            return self._dialect if self._dialect.read({name: value}, self._names, self._allow) else None
        if self._names and not names_match(self._names, name):
            return None
        for dialect in self._candidates_of(name):
            if dialect.recognises(name, value):
                return dialect
        return GENERIC if self._names else None

    def _candidates_of(self, name: str) -> tuple[Dialect, ...]:
        return self._candidates(name) if len(name) <= _LONGEST_REMEMBERED else self._find_candidates(name)

    def _find_candidates(self, name: str) -> tuple[Dialect, ...]:
        """Without configured names only a name that a dialect is known by counts: a shape alone is too little then."""
        if self._names:
            return known()
        return tuple(dialect for dialect in known() if names_match(dialect.cookie_names, name))

    def _grouped_by_dialect(self, cookies: Mapping[str, str]) -> list[tuple[Dialect, dict[str, str]]]:
        """The cookies by their dialect: some dialects look at several together."""
        groups: dict[str, tuple[Dialect, dict[str, str]]] = {}
        for name, value in cookies.items():
            dialect = self.dialect_of(name, value)
            if dialect is not None:
                groups.setdefault(dialect.name, (dialect, {}))[1][name] = value
        return list(groups.values())

    def _better_value(self, name: str, values: list[str]) -> str:
        if self._dialect is None and len(values) == 2 and values[1].endswith(f"~{values[0]}"):
            return values[1]  # on its way to the node the request lost a prefix: by that it was routed
        if len(set(values)) == 1:  # where a dialect needs several cookies together, one alone cannot be judged
            return values[0]
        readable = [value for value in values if self.read({name: value})]
        if self._dialect is None:
            moves = [value for value in readable if self.dialect_of(name, value) is not GENERIC]
            readable = moves or readable
        return (readable or values)[0]


def _limited(cookies: Mapping[str, str]) -> Mapping[str, str]:
    """At most :data:`MAX_COOKIES` cookies."""
    return cookies if len(cookies) <= MAX_COOKIES else dict(islice(cookies.items(), MAX_COOKIES))


def _configured(sticky: StickyTable) -> Dialect | None:
    if sticky.dialect == AUTO:
        return None
    if sticky.dialect == GENERIC.name:
        return generic(sticky.part, sticky.replay_safe)
    return by_name(sticky.dialect)
