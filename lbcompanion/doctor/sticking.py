"""What the replays say: which cookies bring a request back to its node."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from attrs import frozen

from lbcompanion.doctor.identity import Feature
from lbcompanion.doctor.observed import How, Observed, Replay, Spot


@frozen
class Outcome:
    """How one series of replays went.

    :ivar said: what told the node that it should lead to; empty where nothing tells nodes apart.
    :ivar same: how many of ``tries`` led there.
    """

    said: str
    tries: int
    same: int

    @property
    def works(self) -> bool:
        """Whether every one led there, and more than one was tried."""
        return bool(self.said) and self.tries > 1 and self.same == self.tries


def outcome(replay: Replay, feature: Feature) -> Outcome:
    """Compare the answers with the one that handed the cookies out."""
    tries = len(replay.answers)
    if feature.kind == "cookie":
        return _by_cookie(replay, feature)
    said = [feature.of(one) for one in replay.answers if not one.failure]
    counted = Counter(one for one in said if one)
    if replay.source is not None and replay.source.spot is Spot.WHOAMI:
        wanted = feature.of(replay.source)  # a balancer's own cookie: the node that answered is the one it names
    else:
        # A key of the application's leads where the balancer's hash says, not to the node that handed it out.
        wanted = counted.most_common(1)[0][0] if counted else ""
    return Outcome(wanted, tries, counted[wanted] if wanted else 0)


def _by_cookie(replay: Replay, feature: Feature) -> Outcome:
    """Nothing but the sticky cookie tells nodes apart: who keeps it was not moved, as far as one can see."""
    wanted = feature.of(replay.source) if replay.source is not None else ""
    kept = {wanted, ""} if feature.name in replay.names else {wanted}
    same = sum(not one.failure and one.status < 500 and feature.of(one) in kept for one in replay.answers)
    return Outcome(wanted, len(replay.answers), same if wanted else 0)


@frozen
class Sticking:
    """Which cookies do it.

    :ivar names: none where nothing sticks, or where that could not be told.
    :ivar together: whether all of them are needed.
    :ivar leader: the series that showed it first.
    """

    names: tuple[str, ...] = ()
    together: bool = False
    invented: bool = False
    leader: Replay | None = None


def sticking(observed: Observed, feature: Feature) -> Sticking:
    """Find the fewest cookies that stick, by what was tried so far."""
    works = [one for one in observed.replays if outcome(one, feature).works]
    leader = next((one for one in works if one.how is How.WHOLE), None)
    if leader is None:
        return _invented(observed, feature)
    if len(leader.names) == 1:
        return Sticking(leader.names, False, False, leader)
    alone = tuple(one.names[0] for one in _tried(works, leader, How.ALONE))
    if alone:
        return Sticking(alone, False, False, leader)
    spared = {name for one in _tried(works, leader, How.WITHOUT) for name in leader.names if name not in one.names}
    needed = tuple(name for name in leader.names if name not in spared) or leader.names
    return Sticking(needed, len(needed) > 1, False, leader)


def _tried(works: Iterable[Replay], leader: Replay, how: How) -> list[Replay]:
    return [one for one in works if one.how is how and one.source is leader.source]


def _invented(observed: Observed, feature: Feature) -> Sticking:
    tried = [one for one in observed.replays if one.how is How.INVENTED]
    good = [one for one in tried if outcome(one, feature).works]
    # One key that leads to one node could be chance, or a balancer that knows no cookies at all.
    if len(good) < 2 or len(good) < len(tried):
        return Sticking()
    return Sticking(good[0].names, False, True, good[0])
