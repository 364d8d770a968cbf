"""The ladder: from a notice and what is known to the next route, or the end. Pure functions over frozen values.

A *round* goes down the ladder once. Between rounds there is a back-off, and after ``give_up_after_seconds``
the page is lost. The caller carries the steps out and hands back what happened; nothing here has a clock,
a socket or chance (the jitter is handed in).
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lbcompanion.model import Attempt, LossCode, LossReason, MissReason, RouteKind, RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState

#: What an attempt's result says when it brought the copy. Whether that is archived is the caller's to add.
FETCHED = "fetched"

#: The words of a node that make further asking vain: the copy existed and will not come back.
FINAL = frozenset({MissReason.EXPIRED.value, MissReason.PULLED.value, MissReason.EVICTED.value})

#: The losses that these words make.
FINAL_LOSSES = frozenset(LossCode(word) for word in FINAL)

_UNKNOWN = MissReason.UNKNOWN.value
_MISROUTED = MissReason.MISROUTED.value


@frozen
class Limits:
    """The bounds of one notice's way.

    :ivar give_up_after_seconds: from when the crawler took the notice; 0: after one round.
    :ivar tries_per_round: requests for the page in one round, whatever is learnt meanwhile.
    :ivar first_wait_seconds: the first back-off; it doubles with every round.
    :ivar longest_wait_seconds: where the doubling ends.
    """

    give_up_after_seconds: float = 900.0
    tries_per_round: int = 8
    first_wait_seconds: float = 1.0
    longest_wait_seconds: float = 30.0


@frozen
class Knowledge:
    """What is known when a step is chosen.

    :ivar owner: the node that the token names.
    :ivar recorded: the routing cookies of the notice.
    :ivar recorded_safe: whether their replay moves nobody, by their dialect.
    :ivar recorded_keyed: whether they may be younger than the page, and then lead elsewhere, by their dialect.
    :ivar recorded_doubted: whether it was learnt that cookies of their names are hardly what this balancer goes by.
    :ivar recorded_misled: whether just these led to another node a moment ago.
    :ivar node_up: whether the owner gave a proven answer a moment ago.
    :ivar own: the crawler's own route to the owner, in whatever state; only a proven one is used for a fetch.
    :ivar may_mint: whether asking the balancer for a cookie of our own is worth it now.
    :ivar computed: the owner's routing cookie from configuration or computation.
    :ivar computed_misled: as ``recorded_misled``.
    :ivar direct: the owner's own origin; empty: none is known.
    """

    owner: str
    recorded: tuple[RoutingCookie, ...] = ()
    recorded_safe: bool = False
    recorded_keyed: bool = False
    recorded_doubted: bool = False
    recorded_misled: bool = False
    node_up: bool = False
    own: Route | None = None
    may_mint: bool = False
    computed: tuple[RoutingCookie, ...] = ()
    computed_misled: bool = False
    direct: str = ""


@frozen
class Past:
    """What happened so far.

    :ivar rounds: how many rounds ended before this one.
    :ivar attempts: this round's, in order.
    :ivar minted: whether this round asked for a cookie of our own already.
    :ivar asked: whether this round asked already if the owner is up.
    """

    rounds: int = 0
    attempts: tuple[Attempt, ...] = ()
    minted: bool = False
    asked: bool = False


@frozen
class Try:
    """Ask for the page by this route.

    :ivar direct: the origin to ask; empty: the site's own.
    """

    route: RouteKind
    cookies: tuple[RoutingCookie, ...] = ()
    direct: str = ""


@frozen
class Mint:
    """Get a cookie of our own for the owner."""


@frozen
class Ask:
    """Find out by ``whoami`` over an own or direct route whether the owner is up."""


@frozen
class Wait:
    """The round is over; begin the next one after so many seconds."""

    seconds: float


@frozen
class Fetched:
    """The copy is here: archive it."""


@frozen
class End:
    """There is nothing left to do: the page is lost."""

    reason: LossReason


Step = Try | Mint | Ask | Wait | Fetched | End


def next_step(
    ladder: tuple[str, ...], known: Knowledge, past: Past, age: float, limits: Limits, jitter: float = 0.5
) -> Step:
    """Choose what to do next for one notice.

    :param ladder: the site's rungs from the top, as :class:`~lbcompanion.model.RouteKind` values.
    :param age: seconds since the crawler took the notice.
    :param jitter: at least 0 and below 1; moves the back-off by up to a half.
    """
    end = _end_of(known.owner, past)
    if end is not None:
        return end
    if _worth_going_on(known.owner, past) and len(past.attempts) < limits.tries_per_round:
        for rung in _order(ladder, known):
            step = _RUNGS[RouteKind(rung)].step(known, past)
            if step is not None:
                return step
    return _round_over(known.owner, past, age, limits, jitter)


def not_tried(ladder: tuple[str, ...], known: Knowledge, past: Past) -> tuple[tuple[RouteKind, str], ...]:
    """Which rungs a round that is over passed by, and why, in words for people; those not in the ladder are left out.

    :param known: what was known at the end of the round.
    """
    rungs = [RouteKind(rung) for rung in _order(ladder, known)]
    return tuple((rung, _RUNGS[rung].why_not(known, past)) for rung in rungs if not _tried(past, rung))


def _order(ladder: tuple[str, ...], known: Knowledge) -> tuple[str, ...]:
    """The rungs for this notice: what could move the visitor comes after everything that moves nobody.

    That the node is up says less than it seems: a table may have bound the visitor's key to another node, which is
    down just now, and the replay would bind it anew.

    A key that may be younger than the page, and a cookie of which it was learnt that it hardly routes, come after our
    own cookie, too.
    """
    first, own = RouteKind.RECORDED.value, RouteKind.OWN.value
    if first not in ladder:
        return ladder
    others = tuple(rung for rung in ladder if rung != first)
    if known.recorded_safe:
        at = ladder.index(first)
        if (known.recorded_keyed or known.recorded_doubted) and own in others:
            at = max(at, others.index(own) + 1)
        return (*others[:at], first, *others[at:])
    at = others.index(RouteKind.ANY.value) if RouteKind.ANY.value in others else len(others)
    return (*others[:at], first, *others[at:])


def _end_of(owner: str, past: Past) -> Fetched | End | None:
    """The end, where the last answer was one."""
    if not past.attempts:
        return None
    last = past.attempts[-1]
    if last.result == FETCHED:
        return Fetched()
    if last.node == owner and last.result in FINAL:
        return End(LossReason.of(LossCode(last.result)))
    return None


def _worth_going_on(owner: str, past: Past) -> bool:
    """Whether lower rungs may know better: not when the owner itself has no such copy (now)."""
    return not any(each.node == owner and each.result == _UNKNOWN for each in past.attempts)


def _tried(past: Past, kind: RouteKind) -> tuple[Attempt, ...]:
    return tuple(each for each in past.attempts if each.route is kind)


def _enough_known(known: Knowledge, past: Past) -> str:
    return (
        "as many tries as a round may have" if _worth_going_on(known.owner, past) else "the owner itself had answered"
    )


def _recorded(known: Knowledge, past: Past) -> Step | None:
    if not known.recorded or known.recorded_misled or _tried(past, RouteKind.RECORDED):
        return None
    if known.recorded_safe or known.node_up:
        return Try(RouteKind.RECORDED, known.recorded)
    return None if past.asked else Ask()


def _why_not_recorded(known: Knowledge, past: Past) -> str:
    if not known.recorded:
        return "no routing cookie was recorded"
    if known.recorded_misled:
        return "the recorded cookie led elsewhere a moment ago"
    if not known.recorded_safe and not known.node_up:
        return "a replay could move the visitor, and the node is not known to be up"
    return _enough_known(known, past)


def _own(known: Knowledge, past: Past) -> Step | None:
    tries = _tried(past, RouteKind.OWN)
    usable = known.own is not None and known.own.state is RouteState.PROVEN
    if usable and known.own is not None and (not tries or (past.minted and len(tries) == 1 and _moved(tries[-1]))):
        return Try(RouteKind.OWN, known.own.cookies)
    if not usable and known.may_mint and not past.minted:
        return Mint()
    return None


def _moved(attempt: Attempt) -> bool:
    return attempt.result == _MISROUTED


def _why_not_own(known: Knowledge, past: Past) -> str:
    if known.own is None or known.own.state is not RouteState.PROVEN:
        return "no cookie of our own is proven" + ("" if past.minted else "; the balancer was asked lately")
    return _enough_known(known, past)


def _computed(known: Knowledge, past: Past) -> Step | None:
    if not known.computed or known.computed_misled or _tried(past, RouteKind.COMPUTED):
        return None
    return Try(RouteKind.COMPUTED, known.computed)


def _why_not_computed(known: Knowledge, past: Past) -> str:
    if not known.computed:
        return "no cookie can be computed or is configured"
    return "the computed cookie led elsewhere a moment ago" if known.computed_misled else _enough_known(known, past)


def _direct(known: Knowledge, past: Past) -> Step | None:
    if not known.direct or _tried(past, RouteKind.DIRECT):
        return None
    return Try(RouteKind.DIRECT, direct=known.direct)


def _why_not_direct(known: Knowledge, past: Past) -> str:
    return _enough_known(known, past) if known.direct else "no address of the node's own is configured"


def _any(_known: Knowledge, past: Past) -> Step | None:
    return None if _tried(past, RouteKind.ANY) else Try(RouteKind.ANY)


@frozen
class _Rung:
    """What the ladder knows of one rung.

    :ivar step: what to do on it now; None: nothing.
    :ivar why_not: why it was not tried in a round that is over, for people.
    """

    step: Callable[[Knowledge, Past], Step | None]
    why_not: Callable[[Knowledge, Past], str]


#: One for each :class:`~lbcompanion.model.RouteKind`.
_RUNGS = {
    RouteKind.RECORDED: _Rung(_recorded, _why_not_recorded),
    RouteKind.OWN: _Rung(_own, _why_not_own),
    RouteKind.COMPUTED: _Rung(_computed, _why_not_computed),
    RouteKind.DIRECT: _Rung(_direct, _why_not_direct),
    RouteKind.ANY: _Rung(_any, _enough_known),
}


def _round_over(owner: str, past: Past, age: float, limits: Limits, jitter: float) -> Wait | End:
    """Back-off, or the end; every notice has had one whole round by then, however old it came."""
    # A central store's or a peer's last word counts once the owner itself had its chance on the other rungs.
    final = next((each.result for each in past.attempts if each.node and each.result in FINAL), "")
    if final:
        return End(LossReason.of(LossCode(final)))
    if age >= limits.give_up_after_seconds:
        return End(_why(owner, past, limits))
    wait = min(limits.first_wait_seconds * 2.0 ** min(past.rounds, 32), limits.longest_wait_seconds) * (0.5 + jitter)
    return Wait(max(0.05, min(wait, limits.give_up_after_seconds - age)))


def _why(owner: str, past: Past, limits: Limits) -> LossReason:
    if not _worth_going_on(owner, past):
        return LossReason.of(LossCode.UNKNOWN, owner=owner)
    # What went wrong on a way to the owner says more than that another node was reached.
    telling = [each.result for each in past.attempts if each.result != _MISROUTED]
    last = telling[-1] if telling else past.attempts[-1].result if past.attempts else "no route"
    seconds = limits.give_up_after_seconds
    if not seconds:
        return LossReason.of(LossCode.NO_ANSWER_IN_ONE_ROUND, owner=owner, last=last)
    return LossReason.of(LossCode.NO_ANSWER, owner=owner, seconds=seconds, last=last)
