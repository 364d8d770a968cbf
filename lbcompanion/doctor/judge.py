"""Observations -> diagnosis: data in, data out."""

from __future__ import annotations

from collections import Counter

from lbcompanion.doctor.diagnosis import CookieSeen, Diagnosis, NodeSeen, ReplayTold, Writer
from lbcompanion.doctor.faults import Seen, findings
from lbcompanion.doctor.identity import Basis, Feature, Names, basis_of, feature_of
from lbcompanion.doctor.observed import Given, How, Observed, Replay, Spot
from lbcompanion.doctor.sticking import Sticking, outcome, sticking
from lbcompanion.sticky.credentials import looks_like_credential, looks_like_id
from lbcompanion.sticky.explain import explain

#: The kinds of replay that show whether a cookie leads back; the others only show which ones are needed.
_TELLING = (How.WHOLE, How.REDUCED, How.INVENTED)


def judge(observed: Observed) -> Diagnosis:
    """Say what all this means."""
    feature = feature_of(observed)
    names = Names(feature)
    found = sticking(observed, feature)
    nodes = _nodes(observed, names)
    replays = tuple(_replay(one, feature, names) for one in observed.replays)
    telling = [
        one
        for one in replays
        if found.leader is not None and one.how in _TELLING and set(one.cookies) & set(found.names)
    ]
    astray = any(one.same < one.tries for one in telling if one.how is not How.REDUCED)
    # Where all goes to one node a cookie that leads there shows nothing, unless it is known for a balancer's.
    sticky = bool(telling) and not astray and (len(nodes) > 1 or _a_balancers(observed, found.names))
    cookies = _cookies(observed, feature, found, sticky)
    answers = [one for replay in observed.replays for one in replay.answers] or list(observed.bare)
    basis = basis_of([one for one in answers if one.node] if observed.companions else answers, feature)
    seen = Seen(observed, feature, found, nodes, cookies, tuple(telling), sticky, astray, basis)
    return Diagnosis(
        sticky=sticky,
        sticks_by=found.names if sticky else (),
        together=found.together and sticky,
        invented=found.invented and sticky,
        basis=basis if observed.replays else Basis.UNKNOWN,
        nodes=nodes,
        cookies=cookies,
        replays=replays,
        findings=findings(seen),
        example=_example(found) if sticky else (),
    )


def _known(given: Given) -> bool:
    """Whether a dialect is sure that this cookie is its own."""
    writers = _writers(given)
    return bool(writers) and writers[0].is_sure


def _nodes(observed: Observed, names: Names) -> tuple[NodeSeen, ...]:
    spots = (Spot.WHOAMI, Spot.POST) if observed.companions else (Spot.PAGE,)
    counted = Counter(name for one in observed.bare if one.spot in spots and (name := names.of(one)))
    return tuple(NodeSeen(name, count) for name, count in sorted(counted.items()))


def _replay(replay: Replay, feature: Feature, names: Names) -> ReplayTold:
    went = outcome(replay, feature)
    where = ""
    if feature.kind == "cookie" and replay.source is not None:
        where = names.of(replay.source)
    elif went.said:
        where = next(names.of(one) for one in (*replay.answers, replay.source) if one and feature.of(one) == went.said)
    basis = basis_of([one for one in replay.answers if one.node], feature)
    return ReplayTold(where, replay.names, replay.how, went.tries, went.same, basis)


def _a_balancers(observed: Observed, names: tuple[str, ...]) -> bool:
    """Whether any of these is a balancer's own: a companion's answer sets none itself, or it is known by its form."""
    for answer in observed.bare:
        for given in answer.given:
            companions = observed.companions and answer.spot is Spot.WHOAMI
            if given.name in names and not given.deleted and (companions or _known(given)):
                return True
    return False


def _cookies(observed: Observed, feature: Feature, found: Sticking, sticky: bool) -> tuple[CookieSeen, ...]:
    first: dict[str, Given] = {}
    spots: dict[str, dict[Spot, None]] = {}
    for answer in observed.bare:
        for given in answer.given:
            if not given.deleted:
                first.setdefault(given.name, given)
                spots.setdefault(given.name, {})[answer.spot] = None
    return tuple(
        CookieSeen(
            given,
            tuple(spots[name]),
            _sticks(name, observed, feature, found, sticky),
            _part(name, observed, feature),
            looks_like_credential(name, given.value) or _visitors_own(given, observed),
            _writers(given),
        )
        for name, given in first.items()
    )


def _visitors_own(given: Given, observed: Observed) -> bool:
    """Whether a value as long as a session's id is one: no dialect is sure of it, no companion's answer hands the
    cookie out, which would be a balancer's doing, and no value of it comes twice."""
    if not looks_like_id(given.value) or _known(given):
        return False
    handed = [(answer.spot, one.value) for answer in observed.bare for one in answer.given if one.name == given.name]
    if observed.companions and any(spot in (Spot.WHOAMI, Spot.POST) for spot, _ in handed):
        return False
    return len({value for _, value in handed}) == len(handed)


def _sticks(name: str, observed: Observed, feature: Feature, found: Sticking, sticky: bool) -> bool | None:
    if name in found.names:
        return True if sticky else None
    tried = [one for one in observed.replays if name in one.names]
    return False if tried and feature.kind else None


def _part(name: str, observed: Observed, feature: Feature) -> bool | None:
    tried = [one for one in observed.replays if name in one.names and one.how is How.REDUCED]
    return outcome(tried[0], feature).works if tried else None


def _writers(given: Given) -> tuple[Writer, ...]:
    told = explain(f"{given.name}={given.value}")
    return tuple(
        Writer(one.dialect, one.grounds.name.lower(), one.node, one.moves_visitor)
        for one in told
        if one.dialect and one.grounds is not None
    )


def _example(found: Sticking) -> tuple[tuple[str, str], ...]:
    leader = found.leader
    if leader is None or leader.source is None:
        return tuple((name, "") for name in found.names)
    jar = leader.source.jar
    return tuple((name, jar[name]) for name in found.names)
