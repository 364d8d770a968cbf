"""Turns observations into a diagnosis. Pure: no I/O."""

from __future__ import annotations

from collections import Counter

from lbcompanion.doctor.diagnosis import Diagnosis, ObservedCookie, ObservedNode, PossibleDialect, ReplaySummary
from lbcompanion.doctor.findings import Evidence, findings, is_whoami_cached
from lbcompanion.doctor.identity import Certainty, Feature, NodeNames, certainty_of, feature_of
from lbcompanion.doctor.observations import Observations, ParsedSetCookie, Replay, ReplayMode, RequestKind
from lbcompanion.doctor.stickiness import Stickiness, find_stickiness, outcome
from lbcompanion.sticky.credentials import looks_like_credential, looks_like_id, looks_like_node_text
from lbcompanion.sticky.explain import explain

#: Which share of the requests without a cookie reach a node if the balancer hardly uses another one.
_USUAL_SHARE = 0.75
# How many different values of a cookie show that each visitor gets one.
_LEAST_OFFERS = 3
#: The replay modes that show whether a cookie leads back; the others show only which cookies are needed.
_CONCLUSIVE = (ReplayMode.WHOLE, ReplayMode.REDUCED, ReplayMode.INVENTED)


def analyse(observations: Observations) -> Diagnosis:
    """Diagnose a site from what was observed."""
    feature = feature_of(observations)
    names = NodeNames(feature)
    stickiness = find_stickiness(observations, feature)
    nodes = _nodes(observations, names)
    replays = tuple(_summarise(replay, feature, names) for replay in observations.replays)
    conclusive_replays = [
        replay
        for replay in replays
        if stickiness.first_success is not None
        and replay.mode in _CONCLUSIVE
        and set(replay.cookies) >= set(stickiness.names)
    ]
    whole_replays = [replay for replay in conclusive_replays if replay.mode is not ReplayMode.REDUCED]
    replays_count = not is_whoami_cached(observations) and (
        _is_not_by_chance(whole_replays, nodes) or _is_from_balancer(observations, stickiness.names)
    )
    misdirected = replays_count and any(replay.matches < replay.tries for replay in whole_replays)
    sticky = replays_count and bool(conclusive_replays) and not misdirected
    cookies = _cookies(observations, feature, stickiness, sticky=sticky)
    responses = [response for replay in observations.replays for response in replay.responses] or list(
        observations.without_cookie
    )
    certainty = certainty_of(
        [response for response in responses if response.node] if observations.has_companions else responses, feature
    )
    evidence = Evidence(
        observations, feature, stickiness, nodes, cookies, tuple(conclusive_replays), sticky, misdirected, certainty
    )
    return Diagnosis(
        sticky=sticky,
        sticks_by=stickiness.names if sticky else (),
        all_needed=stickiness.all_needed and sticky,
        invented=stickiness.invented and sticky,
        certainty=certainty if observations.replays else Certainty.UNKNOWN,
        nodes=nodes,
        cookies=cookies,
        replays=replays,
        findings=findings(evidence),
        example=_example(stickiness) if sticky else (),
    )


def _is_not_by_chance(replays: list[ReplaySummary], nodes: tuple[ObservedNode, ...]) -> bool:
    """Return whether replays to the same node mean something: they led to several nodes, or to one that requests
    without a cookie do not usually reach. If nearly every request reaches one node, so does every replay."""
    reached = {replay.node for replay in replays if replay.matches == replay.tries}
    total = sum(node.responses for node in nodes)
    usual = {node.name for node in nodes if node.responses >= _USUAL_SHARE * total}
    return len(reached) > 1 or bool(reached and not reached & usual)


def _is_recognised(set_cookie: ParsedSetCookie) -> bool:
    """Return whether a dialect recognises this cookie beyond doubt."""
    possible_dialects = _possible_dialects(set_cookie)
    return bool(possible_dialects) and possible_dialects[0].is_sure


def _nodes(observations: Observations, names: NodeNames) -> tuple[ObservedNode, ...]:
    kinds = (RequestKind.WHOAMI, RequestKind.POST) if observations.has_companions else (RequestKind.PAGE,)
    counted = Counter(
        name for response in observations.without_cookie if response.kind in kinds and (name := names.of(response))
    )
    return tuple(ObservedNode(name, count) for name, count in sorted(counted.items()))


def _summarise(replay: Replay, feature: Feature, names: NodeNames) -> ReplaySummary:
    result = outcome(replay, feature)
    node = ""
    if feature.kind == "cookie" and replay.source is not None:
        node = names.of(replay.source)
    elif result.node_marker:
        node = next(
            names.of(one) for one in (*replay.responses, replay.source) if one and feature.of(one) == result.node_marker
        )
    certainty = certainty_of([response for response in replay.responses if response.node], feature)
    return ReplaySummary(node, replay.names, replay.mode, result.tries, result.matches, certainty)


def _is_from_balancer(observations: Observations, names: tuple[str, ...]) -> bool:
    """Return whether a balancer set one of these cookies: a companion sets none itself, or the form is known."""
    for response in observations.without_cookie:
        for set_cookie in response.set_cookies:
            from_companion = observations.has_companions and response.kind is RequestKind.WHOAMI
            if set_cookie.name in names and not set_cookie.deleted and (from_companion or _is_recognised(set_cookie)):
                return True
    return False


def _cookies(
    observations: Observations, feature: Feature, stickiness: Stickiness, *, sticky: bool
) -> tuple[ObservedCookie, ...]:
    first: dict[str, ParsedSetCookie] = {}
    kinds: dict[str, dict[RequestKind, None]] = {}
    for response in observations.without_cookie:
        for set_cookie in response.set_cookies:
            if not set_cookie.deleted:
                first.setdefault(set_cookie.name, set_cookie)
                kinds.setdefault(set_cookie.name, {})[response.kind] = None
    return tuple(
        ObservedCookie(
            set_cookie,
            tuple(kinds[name]),
            _sticks(name, observations, feature, stickiness, sticky=sticky),
            _routing_part_works(name, observations, feature),
            looks_like_credential(name, set_cookie.value) or _is_session_id(set_cookie, observations),
            _possible_dialects(set_cookie),
        )
        for name, set_cookie in first.items()
    )


def _is_session_id(set_cookie: ParsedSetCookie, observations: Observations) -> bool:
    """Return whether a value is the id of a session.

    It is, if no dialect recognises it, no companion's response carries it (then a balancer set it), and each value was
    seen only once. If companions say which nodes there are, a short value counts as well: a balancer repeats its value
    for a node.
    """
    if _is_recognised(set_cookie):
        return False
    offers = [
        (response.kind, one.value)
        for response in observations.without_cookie
        for one in response.set_cookies
        if one.name == set_cookie.name and not one.deleted
    ]
    if len({value for _, value in offers}) < len(offers):
        return False
    if not observations.has_companions:
        return looks_like_id(set_cookie.value)
    if any(kind in (RequestKind.WHOAMI, RequestKind.POST) for kind, _ in offers):
        return False
    nodes = {response.node for response in observations.without_cookie if response.node}
    is_each_visitors_own = len(offers) > len(nodes) or not looks_like_node_text(set_cookie.value)
    return looks_like_id(set_cookie.value) or (len(offers) >= _LEAST_OFFERS and is_each_visitors_own)


def _sticks(
    name: str, observations: Observations, feature: Feature, stickiness: Stickiness, *, sticky: bool
) -> bool | None:
    if name in stickiness.names:
        return True if sticky else None
    tried = [replay for replay in observations.replays if name in replay.names]
    return False if tried and feature.kind else None


def _routing_part_works(name: str, observations: Observations, feature: Feature) -> bool | None:
    tried = [replay for replay in observations.replays if name in replay.names and replay.mode is ReplayMode.REDUCED]
    return outcome(tried[0], feature).successful if tried else None


def _possible_dialects(set_cookie: ParsedSetCookie) -> tuple[PossibleDialect, ...]:
    found_dialects = explain(f"{set_cookie.name}={set_cookie.value}")
    return tuple(
        PossibleDialect(
            found_dialect.dialect, found_dialect.grounds.name.lower(), found_dialect.node, found_dialect.moves_visitor
        )
        for found_dialect in found_dialects
        if found_dialect.dialect and found_dialect.grounds is not None
    )


def _example(stickiness: Stickiness) -> tuple[tuple[str, str], ...]:
    first_success = stickiness.first_success
    if first_success is None or first_success.source is None:
        return tuple((name, "") for name in stickiness.names)
    jar = first_success.source.jar
    return tuple((name, jar[name]) for name in stickiness.names)
