"""What to ask next, given what was seen so far: data in, data out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, frozen

from lbcompanion.doctor.identity import feature_of
from lbcompanion.doctor.observed import Answer, How, Observed, Spot
from lbcompanion.doctor.sticking import Sticking, sticking
from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.cookies import is_pattern, safe_to_send
from lbcompanion.sticky.reader import CookieReader

#: Without companions nodes can only be guessed, for which a fixed number of pages is looked at.
PAGES = 9
_FIRST_PAGES = 3
_BARE_LEAST, _BARE_MOST = 6, 16
_SEEN_TWICE = 2
TRIES = 3
_MOST_COOKIES = 6
_MOST_NODES = 5
_POSTS = 2
_OWN_SESSIONS = 3


@frozen
class Series:
    """Requests that are alike.

    :ivar cookies: name to value; none for a bare request.
    :ivar why: for the progress display.
    """

    spot: Spot
    times: int
    why: str
    cookies: Mapping[str, str] = Factory(dict)
    how: How | None = None
    source: Answer | None = None


def next_series(observed: Observed, configured: Sequence[str] = (), invented: Sequence[str] = ()) -> Series | None:
    """The next requests to send; None: enough was seen.

    :param configured: the names of the sticky cookies as a configuration has them.
    :param invented: texts without meaning, to see whether a cookie's hash decides.
    """
    bare = _next_bare(observed)
    if bare is not None or all(one.failure for one in observed.bare):
        return bare
    feature = feature_of(observed)
    found = sticking(observed, feature)
    if found.leader is not None:
        return _refine(observed, found)
    return _next_candidate(observed, configured, invented)


def _next_bare(observed: Observed) -> Series | None:
    pages = sum(one.spot is Spot.PAGE for one in observed.bare)
    asked = sum(one.spot is Spot.WHOAMI for one in observed.bare)
    if pages < _FIRST_PAGES:
        return Series(Spot.PAGE, _FIRST_PAGES - pages, "the page, without a cookie")
    if asked == 0:
        return Series(Spot.WHOAMI, 1, "is there a companion?")
    if observed.companions:
        if not _all_nodes_seen(observed):
            return Series(Spot.WHOAMI, 1, "which nodes are there?")
    elif pages < PAGES and any(not one.failure for one in observed.bare):
        return Series(Spot.PAGE, PAGES - pages, "can nodes be told apart?")
    if observed.path != "/" and not any(one.spot is Spot.ROOT for one in observed.bare):
        return Series(Spot.ROOT, 1, "the start page, without a cookie")
    return None


def _all_nodes_seen(observed: Observed) -> bool:
    answers = [one for one in observed.bare if one.spot is Spot.WHOAMI]
    if len(answers) >= _BARE_MOST:
        return True
    nodes = [one.node for one in answers if one.node]
    rare = [node for node in {*nodes, *observed.known_nodes} if nodes.count(node) < _SEEN_TWICE]
    return len(answers) >= _BARE_LEAST and not rare


def sendable(answer: Answer) -> dict[str, str]:
    """Of the cookies an answer hands out, those that can be sent again; a handful."""
    good = [(name, value) for name, value in answer.jar.items() if safe_to_send([RoutingCookie(name, value)])]
    return dict(good[:_MOST_COOKIES])


def _sources(observed: Observed, spot: Spot) -> list[Answer]:
    """The answers of a place that hand out cookies, one for each node and each set of names where nodes are known."""
    kept: dict[object, Answer] = {}
    for number, one in enumerate(observed.at(spot)):
        if sendable(one):
            kept.setdefault(one.node or number, one)
    return list(kept.values())


def _next_candidate(observed: Observed, configured: Sequence[str], invented: Sequence[str]) -> Series | None:
    """Nothing sticks so far: try what the balancer handed out, then the application, then after a POST, then a key."""
    tried = [one.source for one in observed.replays if one.how is How.WHOLE]
    for spot in (observed.main, Spot.PAGE, Spot.POST):
        if spot is Spot.POST and not any(one.spot is spot for one in observed.bare):
            return Series(spot, _POSTS, "does a POST get a cookie?")
        sources = _sources(observed, spot)
        if sources and not any(one in tried for one in sources):
            return _whole(observed, sources[0], tuple(sendable(sources[0])))
    return _next_invented(observed, configured, invented)


def _whole(observed: Observed, source: Answer, names: Sequence[str]) -> Series:
    jar = source.jar
    why = f"do {_listed(names)} lead back?" if len(names) > 1 else f"does {names[0]} lead back?"
    return Series(observed.main, TRIES, why, {name: jar[name] for name in names}, How.WHOLE, source)


def _next_invented(observed: Observed, configured: Sequence[str], invented: Sequence[str]) -> Series | None:
    names = [name for name in configured if not is_pattern(name)]
    done = sum(one.how is How.INVENTED for one in observed.replays)
    if not names or not observed.companions or done >= min(len(invented), _OWN_SESSIONS):
        return None
    why = f"does any value of {names[0]} stick?"
    return Series(observed.main, TRIES, why, {names[0]: invented[done]}, How.INVENTED)


def _refine(observed: Observed, found: Sticking) -> Series | None:
    """Something sticks: by which of the cookies, is their routing part enough, and does it hold for the other nodes?"""
    leader = found.leader
    if leader is None or leader.source is None:
        return None
    jar = leader.source.jar
    done = {(one.how, one.names) for one in observed.replays if one.source is leader.source}
    for how, names in _fewer(leader.names, found.together):
        if (how, names) not in done:
            why = f"does {names[0]} do it alone?" if how is How.ALONE else f"do {_listed(names)} do it?"
            return Series(observed.main, TRIES, why, {name: jar[name] for name in names}, how, leader.source)
    if (How.REDUCED, found.names) not in done and (cut := reduced(jar, found.names)):
        why = f"is the routing part of {_listed(found.names)} enough?"
        return Series(observed.main, TRIES, why, cut, How.REDUCED, leader.source)
    return _others(observed, found, leader.source)


def _alone(names: tuple[str, ...]) -> list[tuple[How, tuple[str, ...]]]:
    return [(How.ALONE, (name,)) for name in names]


def _fewer(names: tuple[str, ...], together: bool) -> list[tuple[How, tuple[str, ...]]]:
    """Each of several cookies alone; where none does it alone, all but one of them."""
    if len(names) == 1:
        return []
    spare = together and len(names) > 2
    return _alone(names) + [(How.WITHOUT, tuple(other for other in names if other != name)) for name in names if spare]


def _others(observed: Observed, found: Sticking, leader: Answer) -> Series | None:
    """The same cookies of other nodes, or, where those are not known, of other visitors."""
    tried = [one.source for one in observed.replays if one.how is How.WHOLE]
    sources = [one for one in _sources(observed, leader.spot) if set(found.names) <= set(sendable(one))]
    most = _MOST_NODES if leader.node else _OWN_SESSIONS
    if len(tried) >= most:
        return None
    fresh = [one for one in sources if one not in tried and _differs(one, leader, found.names)]
    return _whole(observed, fresh[0], found.names) if fresh else None


def _differs(one: Answer, other: Answer, names: Sequence[str]) -> bool:
    return any(one.jar.get(name) != other.jar.get(name) for name in names)


def reduced(jar: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """The cookies cut down to their routing parts; empty where that is the whole, or cannot be told."""
    read = CookieReader(StickyTable(cookies=tuple(names))).read({name: jar[name] for name in names})
    cut = {one.name: one.value for one in read}
    return cut if len(cut) == len(names) and any(cut[name] != jar[name] for name in names) else {}


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
