"""What the replays say: which cookies bring a request back to its node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import frozen

from lbcompanion.doctor.identity import Feature
from lbcompanion.doctor.observations import Observations, Replay, ReplayMode, RequestKind


@frozen
class Outcome:
    """How one series of replays went.

    :ivar node_marker: what told the node that it should lead to; empty where nothing tells nodes apart.
    :ivar matches: how many of ``tries`` led there.
    """

    node_marker: str
    tries: int
    matches: int

    @property
    def successful(self) -> bool:
        """Whether every one led there, and more than one was tried."""
        return bool(self.node_marker) and self.tries > 1 and self.matches == self.tries


def outcome(replay: Replay, feature: Feature) -> Outcome:
    """Compare the answers with the one that handed the cookies out."""
    tries = len(replay.responses)
    if feature.kind == "cookie":
        return _by_cookie(replay, feature)
    node_marker = [feature.of(one) for one in replay.responses if not one.failure]
    counts = Counter(one for one in node_marker if one)
    if replay.source is not None and replay.source.kind is RequestKind.WHOAMI:
        wanted = feature.of(replay.source)  # a balancer's own cookie: the node that answered is the one it names
    else:
        # A key of the application's leads where the balancer's hash says, not to the node that handed it out.
        wanted = counts.most_common(1)[0][0] if counts else ""
    return Outcome(wanted, tries, counts[wanted] if wanted else 0)


def _by_cookie(replay: Replay, feature: Feature) -> Outcome:
    """Nothing but the sticky cookie tells nodes apart: who keeps it was not moved, as far as one can see."""
    wanted = feature.of(replay.source) if replay.source is not None else ""
    accepted = {wanted, ""} if feature.name in replay.names else {wanted}
    matches = sum(not one.failure and one.status < 500 and feature.of(one) in accepted for one in replay.responses)
    return Outcome(wanted, len(replay.responses), matches if wanted else 0)


@frozen
class Stickiness:
    """Which cookies do it.

    :ivar names: none where nothing sticks, or where that could not be told.
    :ivar all_needed: whether all of them are needed.
    :ivar first_success: the series that showed it first.
    """

    names: tuple[str, ...] = ()
    all_needed: bool = False
    invented: bool = False
    first_success: Replay | None = None


def find_stickiness(observations: Observations, feature: Feature) -> Stickiness:
    """Find the fewest cookies that stick, by what was tried so far."""
    successful = [one for one in observations.replays if outcome(one, feature).successful]
    first_success = next((one for one in successful if one.mode is ReplayMode.WHOLE), None)
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
    return [one for one in successful if one.mode is mode and one.source is first_success.source]


def _invented(observations: Observations, feature: Feature) -> Stickiness:
    tried = [one for one in observations.replays if one.mode is ReplayMode.INVENTED]
    successes = [one for one in tried if outcome(one, feature).successful]
    # One key that leads to one node could be chance, or a balancer that knows no cookies at all.
    if len(successes) < 2 or len(successes) < len(tried):
        return Stickiness()
    return Stickiness(successes[0].names, False, True, successes[0])
