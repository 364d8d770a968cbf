"""Finds which cookies bring a request back to its node, from the replays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import frozen

from lbcompanion.doctor.identity import Feature
from lbcompanion.doctor.observations import Observations, Replay, ReplayMode, RequestKind


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
    :ivar first_success: the first series of replays that succeeded.
    """

    names: tuple[str, ...] = ()
    all_needed: bool = False
    invented: bool = False
    first_success: Replay | None = None


def find_stickiness(observations: Observations, feature: Feature) -> Stickiness:
    """Find the smallest set of sticky cookies, from the replays so far."""
    successful = [replay for replay in observations.replays if outcome(replay, feature).successful]
    first_success = next((replay for replay in successful if replay.mode is ReplayMode.WHOLE), None)
    if first_success is None:
        return _invented(observations, feature)
    if len(first_success.names) == 1:
        return Stickiness(first_success.names, False, False, first_success)
    alone = tuple(one.names[0] for one in _successes_like(successful, first_success, ReplayMode.ALONE))
    if alone:
        return Stickiness(alone, False, False, first_success)
    unneeded = {
        name
        for one in _successes_like(successful, first_success, ReplayMode.WITHOUT)
        for name in first_success.names
        if name not in one.names
    }
    needed = tuple(name for name in first_success.names if name not in unneeded) or first_success.names
    return Stickiness(needed, len(needed) > 1, False, first_success)


def _successes_like(successful: Iterable[Replay], first_success: Replay, mode: ReplayMode) -> list[Replay]:
    return [replay for replay in successful if replay.mode is mode and replay.source is first_success.source]


def _invented(observations: Observations, feature: Feature) -> Stickiness:
    tried = [replay for replay in observations.replays if replay.mode is ReplayMode.INVENTED]
    successes = [one for one in tried if outcome(one, feature).successful]
    # A single value that leads to one node could be chance, or a balancer that ignores cookies.
    if len(successes) < 2 or len(successes) < len(tried):
        return Stickiness()
    return Stickiness(successes[0].names, False, True, successes[0])
