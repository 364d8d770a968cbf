"""Plans the next requests, given the observations so far. Pure: no I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import Factory, frozen

from lbcompanion.doctor.identity import feature_of
from lbcompanion.doctor.observations import Observations, ProbeResponse, ReplayMode, RequestKind
from lbcompanion.doctor.stickiness import Stickiness, find_stickiness
from lbcompanion.model import RoutingCookie
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.cookies import is_pattern, safe_to_send
from lbcompanion.sticky.reader import CookieReader

#: Without companions nodes can only be guessed, from a fixed number of pages.
PAGES = 9
_FIRST_PAGES = 3
_MIN_WHOAMI, _MAX_WHOAMI = 6, 16
_MIN_RESPONSES_PER_NODE = 2
TRIES = 3
#: The same for some of the cookies only. Where they are not enough, chance must not lead all requests back.
_TRIES_OF_SOME = 6
_MAX_COOKIES = 6
_MAX_NODES = 5
_POSTS = 2
_MAX_VISITORS = 3


@frozen
class ProbeSeries:
    """A number of equal requests.

    :ivar cookies: name to value; empty for a request without a cookie.
    :ivar question: what the series is to answer, for the progress display.
    """

    kind: RequestKind
    count: int
    question: str
    cookies: Mapping[str, str] = Factory(dict)
    mode: ReplayMode | None = None
    source: ProbeResponse | None = None


def next_series(
    observations: Observations, configured: Sequence[str] = (), invented: Sequence[str] = ()
) -> ProbeSeries | None:
    """Return the next requests to send; None if the observations suffice.

    :param configured: the names of the sticky cookies in the configuration.
    :param invented: random values, to find out whether the balancer hashes the cookie.
    """
    without_cookie = _next_without_cookie(observations)
    if without_cookie is not None or all(response.failure for response in observations.without_cookie):
        return without_cookie
    feature = feature_of(observations)
    stickiness = find_stickiness(observations, feature)
    if stickiness.first_success is not None:
        return _refine(observations, stickiness)
    return _next_candidate(observations, configured, invented)


def _next_without_cookie(observations: Observations) -> ProbeSeries | None:
    pages = sum(response.kind is RequestKind.PAGE for response in observations.without_cookie)
    whoami_count = sum(response.kind is RequestKind.WHOAMI for response in observations.without_cookie)
    if pages < _FIRST_PAGES:
        return ProbeSeries(RequestKind.PAGE, _FIRST_PAGES - pages, "the page, without a cookie")
    if whoami_count == 0:
        return ProbeSeries(RequestKind.WHOAMI, 1, "is there a companion?")
    if observations.has_companions:
        if not _all_nodes_seen(observations):
            return ProbeSeries(RequestKind.WHOAMI, 1, "which nodes are there?")
    elif pages < PAGES and any(not response.failure for response in observations.without_cookie):
        return ProbeSeries(RequestKind.PAGE, PAGES - pages, "can nodes be told apart?")
    if observations.path != "/" and not any(
        response.kind is RequestKind.ROOT for response in observations.without_cookie
    ):
        return ProbeSeries(RequestKind.ROOT, 1, "the start page, without a cookie")
    return None


def _all_nodes_seen(observations: Observations) -> bool:
    responses = [response for response in observations.without_cookie if response.kind is RequestKind.WHOAMI]
    if len(responses) >= _MAX_WHOAMI:
        return True
    nodes = [response.node for response in responses if response.node]
    rare = [node for node in {*nodes, *observations.known_nodes} if nodes.count(node) < _MIN_RESPONSES_PER_NODE]
    return len(responses) >= _MIN_WHOAMI and not rare


def sendable(response: ProbeResponse) -> dict[str, str]:
    """Return the cookies of a response that may be sent again, at most six."""
    cookies = [(name, value) for name, value in response.jar.items() if safe_to_send([RoutingCookie(name, value)])]
    return dict(cookies[:_MAX_COOKIES])


def _sources(observations: Observations, kind: RequestKind) -> list[ProbeResponse]:
    """Return the responses that set cookies, one for each node if nodes are known."""
    sources: dict[object, ProbeResponse] = {}
    for number, one in enumerate(observations.responses_to(kind)):
        if sendable(one):
            sources.setdefault(one.node or number, one)
    return list(sources.values())


def _next_candidate(
    observations: Observations, configured: Sequence[str], invented: Sequence[str]
) -> ProbeSeries | None:
    """Nothing sticks so far: try cookies of the balancer, of the application, of a POST, then invented ones."""
    tried = [replay.source for replay in observations.replays if replay.mode is ReplayMode.WHOLE]
    for kind in (observations.main_kind, RequestKind.PAGE, RequestKind.POST):
        if kind is RequestKind.POST and not any(response.kind is kind for response in observations.without_cookie):
            return ProbeSeries(kind, _POSTS, "does a POST get a cookie?")
        sources = _sources(observations, kind)
        if sources and not any(source in tried for source in sources):
            return _replay_whole(observations, sources[0], tuple(sendable(sources[0])))
    return _next_invented(observations, configured, invented)


def _replay_whole(observations: Observations, source: ProbeResponse, names: Sequence[str]) -> ProbeSeries:
    jar = source.jar
    question = f"do {_join_names(names)} lead back?" if len(names) > 1 else f"does {names[0]} lead back?"
    tries = TRIES if len(names) == len(sendable(source)) else _TRIES_OF_SOME
    return ProbeSeries(
        observations.main_kind, tries, question, {name: jar[name] for name in names}, ReplayMode.WHOLE, source
    )


def _next_invented(
    observations: Observations, configured: Sequence[str], invented: Sequence[str]
) -> ProbeSeries | None:
    names = [name for name in configured if not is_pattern(name)]
    done = sum(replay.mode is ReplayMode.INVENTED for replay in observations.replays)
    if not names or not observations.has_companions or done >= min(len(invented), _MAX_VISITORS):
        return None
    question = f"does any value of {names[0]} stick?"
    return ProbeSeries(observations.main_kind, TRIES, question, {names[0]: invented[done]}, ReplayMode.INVENTED)


def _refine(observations: Observations, stickiness: Stickiness) -> ProbeSeries | None:
    """Something sticks: find which cookies, whether their routing part suffices, and whether other nodes agree."""
    first_success = stickiness.first_success
    if first_success is None or first_success.source is None:
        return None
    if stickiness.astray is not None:
        return _replay_whole(observations, stickiness.astray, _names_in(stickiness.astray, first_success.names))
    jar = first_success.source.jar
    done = {(replay.mode, replay.names) for replay in observations.replays if replay.source is first_success.source}
    for mode, names in _subsets(first_success.names, all_needed=stickiness.all_needed):
        if (mode, names) not in done:
            question = (
                f"does {names[0]} do it alone?" if mode is ReplayMode.ALONE else f"do {_join_names(names)} do it?"
            )
            return ProbeSeries(
                observations.main_kind,
                _TRIES_OF_SOME,
                question,
                {name: jar[name] for name in names},
                mode,
                first_success.source,
            )
    if (ReplayMode.REDUCED, stickiness.names) not in done and (
        routing_parts := routing_parts_of(jar, stickiness.names)
    ):
        question = f"is the routing part of {_join_names(stickiness.names)} enough?"
        return ProbeSeries(
            observations.main_kind, TRIES, question, routing_parts, ReplayMode.REDUCED, first_success.source
        )
    return _next_source(observations, stickiness, first_success.source)


def _names_in(source: ProbeResponse, names: Sequence[str]) -> tuple[str, ...]:
    """Return all cookies that a response set, those of the given names first."""
    known = sendable(source)
    return (*(name for name in names if name in known), *(name for name in known if name not in names))


def _singles(names: tuple[str, ...]) -> list[tuple[ReplayMode, tuple[str, ...]]]:
    return [(ReplayMode.ALONE, (name,)) for name in names]


def _subsets(names: tuple[str, ...], *, all_needed: bool) -> list[tuple[ReplayMode, tuple[str, ...]]]:
    """Return each of several cookies alone, then, if all are needed, all but one of them."""
    if len(names) == 1:
        return []
    leave_one_out = all_needed and len(names) > 2
    return _singles(names) + [
        (ReplayMode.WITHOUT, tuple(other for other in names if other != name)) for name in names if leave_one_out
    ]


def _next_source(
    observations: Observations, stickiness: Stickiness, first_success: ProbeResponse
) -> ProbeSeries | None:
    """Try the same cookies of other nodes, or of other visitors if nodes are unknown."""
    tried = [
        replay.source
        for replay in observations.replays
        if replay.mode is ReplayMode.WHOLE and set(replay.names) >= set(stickiness.names)
    ]
    sources = [one for one in _sources(observations, first_success.kind) if set(stickiness.names) <= set(sendable(one))]
    limit = _MAX_NODES if first_success.node else _MAX_VISITORS
    if len(tried) >= limit:
        return None
    untried = [
        source for source in sources if source not in tried and _differs(source, first_success, stickiness.names)
    ]
    return _replay_whole(observations, untried[0], stickiness.names) if untried else None


def _differs(one: ProbeResponse, other: ProbeResponse, names: Sequence[str]) -> bool:
    return any(one.jar.get(name) != other.jar.get(name) for name in names)


def routing_parts_of(jar: Mapping[str, str], names: Sequence[str]) -> dict[str, str]:
    """Reduce cookies to their routing parts; empty if that is the whole value, or unknown."""
    parsed = CookieReader(StickyTable(cookies=tuple(names))).read({name: jar[name] for name in names})
    routing_parts = {one.name: one.value for one in parsed}
    return (
        routing_parts
        if len(routing_parts) == len(names) and any(routing_parts[name] != jar[name] for name in names)
        else {}
    )


def _join_names(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
