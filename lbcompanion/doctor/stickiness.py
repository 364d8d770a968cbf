"""Finds which cookies bring a request back to its node, from the replays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import evolve, frozen

from lbcompanion.doctor.identity import Feature
from lbcompanion.doctor.observations import Observations, ProbeResponse, Replay, ReplayMode, RequestKind


@frozen
class Outcome:
    """The result of one series of replays.

    :ivar node_marker: the feature's value for the expected node; empty if nodes cannot be distinguished.
    :ivar matches: how many of ``tries`` requests reached that node.
    """

    node_marker: str
    tries: int
    matches: int

    @property
    def successful(self) -> bool:
        """Whether all of at least two requests reached the expected node."""
        return bool(self.node_marker) and self.tries > 1 and self.matches == self.tries


def outcome(replay: Replay, feature: Feature) -> Outcome:
    """Compare the responses to a replay with the response that set the cookies."""
    tries = len(replay.responses)
    if feature.kind == "cookie":
        return _by_cookie(replay, feature)
    markers = [feature.of(response) for response in replay.responses if not response.failure]
    counts = Counter(marker for marker in markers if marker)
    if replay.source is not None and replay.source.kind is RequestKind.WHOAMI:
        wanted = feature.of(replay.source)  # a balancer's cookie names the node that responded
    else:
        # The balancer hashes the application's cookie: the node need not be the one that set it.
        wanted = counts.most_common(1)[0][0] if counts else ""
    return Outcome(wanted, tries, counts[wanted] if wanted else 0)


def _by_cookie(replay: Replay, feature: Feature) -> Outcome:
    """Only the sticky cookie distinguishes nodes: a visitor whose cookie stays the same was not moved."""
    wanted = feature.of(replay.source) if replay.source is not None else ""
    accepted = {wanted, ""} if feature.name in replay.names else {wanted}
    matches = sum(
        not response.failure and response.status < 500 and feature.of(response) in accepted
        for response in replay.responses
    )
    return Outcome(wanted, len(replay.responses), matches if wanted else 0)


@frozen
class Stickiness:
    """The cookies that make visitors stick.

    :ivar names: empty if nothing sticks, or if that is unknown.
    :ivar all_needed: whether all of them are needed.
    :ivar first_success: the successful series of replays from which the names are concluded.
    :ivar astray: the response of another node for which these names are not enough; all cookies of ``first_success``
        have to be tried for it.
    """

    names: tuple[str, ...] = ()
    all_needed: bool = False
    invented: bool = False
    first_success: Replay | None = None
    astray: ProbeResponse | None = None


def find_stickiness(observations: Observations, feature: Feature) -> Stickiness:
    """Find the smallest set of cookies with which the replays of all nodes succeed.

    What is enough for one node need not be enough for another: a node that is alone behind its tier of balancers needs
    that tier's cookie only. So where fewer cookies go astray for another node, that node decides which are needed.
    """
    successful = [
        replay
        for replay in observations.replays
        if outcome(replay, feature).successful and not _came_from_several_nodes(observations, replay)
    ]
    leader = next((replay for replay in successful if replay.mode is ReplayMode.WHOLE), None)
    if leader is None:
        return _invented(observations, feature)
    whole = [replay for replay in observations.replays if replay.mode is ReplayMode.WHOLE]
    tried = [leader]
    while True:
        found = _needed_for(leader, successful)
        failed = _gone_astray(found, whole, successful)
        if failed is None:
            return found
        again = [one for one in whole if one.source is failed.source and set(one.names) > set(failed.names)]
        if not again:
            return evolve(found, astray=failed.source)
        if again[0] not in successful or again[0] in tried:
            return found
        leader = again[0]
        tried.append(leader)


def _came_from_several_nodes(observations: Observations, replay: Replay) -> bool:
    """Whether some of a response's cookies have values that another node's response has, too.

    Such cookies do not tell one node from another, for example those of a tier of balancers with several nodes behind
    each. Their replays can all reach the expected node by chance.
    """
    source = replay.source
    if source is None or not source.node or not _lacks_some(replay, source):
        return False
    values = {name: source.jar.get(name) for name in replay.names}
    return any(
        one.node not in {"", source.node} and values.items() <= one.jar.items() for one in observations.without_cookie
    )


def _lacks_some(replay: Replay, source: ProbeResponse) -> bool:
    """Whether a replay sent some of a response's cookies only."""
    if replay.mode is ReplayMode.WHOLE:
        return len(replay.names) < len(source.jar)
    return replay.mode in {ReplayMode.ALONE, ReplayMode.WITHOUT}


def _gone_astray(found: Stickiness, whole: list[Replay], successful: list[Replay]) -> Replay | None:
    """Return the replay of another node that failed with fewer cookies than were handed out."""
    leader = found.first_success
    if leader is None or set(found.names) >= set(leader.names):
        return None
    return next((one for one in whole if set(one.names) == set(found.names) and one not in successful), None)


def _needed_for(first_success: Replay, successful: list[Replay]) -> Stickiness:
    """Find which of the cookies of one node are needed."""
    if len(first_success.names) == 1:
        return Stickiness(first_success.names, first_success=first_success)
    alone = tuple(one.names[0] for one in _successes_like(successful, first_success, ReplayMode.ALONE))
    if alone:
        return Stickiness(alone, first_success=first_success)
    unneeded = {
        name
        for one in _successes_like(successful, first_success, ReplayMode.WITHOUT)
        for name in first_success.names
        if name not in one.names
    }
    needed = tuple(name for name in first_success.names if name not in unneeded) or first_success.names
    return Stickiness(needed, all_needed=len(needed) > 1, first_success=first_success)


def _successes_like(successful: Iterable[Replay], first_success: Replay, mode: ReplayMode) -> list[Replay]:
    return [replay for replay in successful if replay.mode is mode and replay.source is first_success.source]


def _invented(observations: Observations, feature: Feature) -> Stickiness:
    tried = [replay for replay in observations.replays if replay.mode is ReplayMode.INVENTED]
    successes = [one for one in tried if outcome(one, feature).successful]
    # A single value that leads to one node could be chance, or a balancer that ignores cookies.
    if len(successes) < 2 or len(successes) < len(tried):
        return Stickiness()
    return Stickiness(successes[0].names, invented=True, first_success=successes[0])
