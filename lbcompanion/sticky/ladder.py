"""The ladder: from a notice and what is known to the next route, or the end. Pure functions over frozen values.

A *round* goes down the ladder once. Between rounds there is a back-off, and after ``give_up_after_seconds``
the page is lost. The caller carries the steps out and hands back what happened; nothing here uses a clock,
a socket or randomness (the jitter is a parameter).
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from lbcompanion.model import Attempt, LossCode, LossReason, MissReason, RouteKind, RoutingCookie
from lbcompanion.sticky.routes import Route, RouteState

#: What an attempt's result says when it brought the copy. Whether that is archived is the caller's to add.
FETCHED = "fetched"

#: Results after which no node need be asked again: the owner had the copy and removed it.
FINAL_MISSES = frozenset({MissReason.EXPIRED.value, MissReason.PULLED.value, MissReason.EVICTED.value})

#: The loss codes of these results.
FINAL_LOSSES = frozenset(LossCode(word) for word in FINAL_MISSES)

_UNKNOWN = MissReason.UNKNOWN.value
_MISROUTED = MissReason.MISROUTED.value


@frozen
class LadderLimits:
    """The limits for fetching one notice's page.

    :ivar give_up_after_seconds: from when the crawler took the notice; 0: after one round.
    :ivar tries_per_round: requests for the page in one round, whatever is learnt meanwhile.
    :ivar first_backoff_seconds: the first back-off; it doubles with every round.
    :ivar max_wait_seconds: the maximum back-off.
    """

    give_up_after_seconds: float = 900.0
    tries_per_round: int = 8
    first_backoff_seconds: float = 1.0
    max_wait_seconds: float = 30.0


@frozen
class Knowledge:
    """The facts that decide about the next step.

    :ivar owner: the node that the token names.
    :ivar recorded: the routing cookies of the notice.
    :ivar recorded_safe: whether a replay cannot move the visitor, by their dialect.
    :ivar recorded_hash_keyed: whether the dialect says that the cookies may have been set after the page was made; then
        they may lead to another node.
    :ivar recorded_doubtful: whether cookies of their names led to other nodes, so that they probably do not route here.
    :ivar recorded_misleading: whether exactly these cookies led to another node a moment ago.
    :ivar owner_alive: whether the owner gave a proven answer a moment ago, by any route.
    :ivar owner_reached: whether the balancer sends the owner's visitors to it now: a request with a routing cookie of
        the crawler's own, sent in this round, reached it a moment ago. Only this allows a replay that could move the
        visitor.
    :ivar own: the crawler's own route to the owner, in whatever state; only a proven one is used for a fetch.
    :ivar may_mint: whether the crawler may ask the balancer for a cookie of its own now.
    :ivar computed: the owner's routing cookie from configuration or computation.
    :ivar computed_misleading: as ``recorded_misleading``.
    :ivar direct: the owner's own origin; empty: none is known.
    """

    owner: str
    recorded: tuple[RoutingCookie, ...] = ()
    recorded_safe: bool = False
    recorded_hash_keyed: bool = False
    recorded_doubtful: bool = False
    recorded_misleading: bool = False
    owner_alive: bool = False
    owner_reached: bool = False
    own: Route | None = None
    may_mint: bool = False
    computed: tuple[RoutingCookie, ...] = ()
    computed_misleading: bool = False
    direct: str = ""


@frozen
class RoundState:
    """The progress of this round, and of the rounds before it.

    :ivar rounds: how many rounds ended before this one.
    :ivar attempts: this round's, in order.
    :ivar minted: whether this round has already tried to mint a cookie.
    :ivar probed: whether this round has already probed the owner.
    """

    rounds: int = 0
    attempts: tuple[Attempt, ...] = ()
    minted: bool = False
    probed: bool = False


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
    """Mint a routing cookie for the owner."""


@frozen
class ProbeOwner:
    """Check with ``whoami`` over the crawler's own route whether the balancer sends visitors to the owner."""


@frozen
class Wait:
    """The round is over; start the next one after ``seconds``."""

    seconds: float


@frozen
class Fetched:
    """The copy is here: archive it."""


@frozen
class Finish:
    """The fetch is over: the page is lost."""

    reason: LossReason


Step = Try | Mint | ProbeOwner | Wait | Fetched | Finish


def next_step(
    ladder: tuple[str, ...],
    knowledge: Knowledge,
    state: RoundState,
    age: float,
    limits: LadderLimits,
    jitter: float = 0.5,
) -> Step:
    """Choose what to do next for one notice.

    :param ladder: the site's rungs from the top, as :class:`~lbcompanion.model.RouteKind` values.
    :param age: seconds since the crawler took the notice.
    :param jitter: at least 0 and below 1; moves the back-off by up to a half.
    """
    finish = _finish_of(knowledge.owner, state)
    if finish is not None:
        return finish
    if _may_continue(knowledge.owner, state) and len(state.attempts) < limits.tries_per_round:
        for rung in _ordered(ladder, knowledge):
            step = _RUNGS[RouteKind(rung)].step(knowledge, state)
            if step is not None:
                return step
    return _end_round(knowledge.owner, state, age, limits, jitter)


def skipped_rungs(
    ladder: tuple[str, ...], knowledge: Knowledge, state: RoundState
) -> tuple[tuple[RouteKind, str], ...]:
    """The rungs that a finished round left out, and why, as text; rungs outside the ladder are not listed.

    :param knowledge: what was known at the end of the round.
    """
    rungs = [RouteKind(rung) for rung in _ordered(ladder, knowledge)]
    return tuple((rung, _RUNGS[rung].why_not(knowledge, state)) for rung in rungs if not _attempts_by(state, rung))


def _ordered(ladder: tuple[str, ...], knowledge: Knowledge) -> tuple[str, ...]:
    """The rungs for this notice, in order. A rung that could move the visitor comes after all rungs that cannot.

    It is not enough that the balancer sends visitors to the owner: a table may have bound this visitor's key to another
    node, which is down now, and the replay would bind it again.

    A key that may be younger than the page, and a doubtful cookie, come after the crawler's own cookie, too.
    """
    first, own = RouteKind.RECORDED.value, RouteKind.OWN.value
    if first not in ladder:
        return ladder
    others = tuple(rung for rung in ladder if rung != first)
    if knowledge.recorded_safe:
        position = ladder.index(first)
        if (knowledge.recorded_hash_keyed or knowledge.recorded_doubtful) and own in others:
            position = max(position, others.index(own) + 1)
        return (*others[:position], first, *others[position:])
    position = others.index(RouteKind.ANY.value) if RouteKind.ANY.value in others else len(others)
    return (*others[:position], first, *others[position:])


def _finish_of(owner: str, state: RoundState) -> Fetched | Finish | None:
    """The final step if the last answer was final, else None."""
    if not state.attempts:
        return None
    last = state.attempts[-1]
    if last.result == FETCHED:
        return Fetched()
    if last.node == owner and last.result in FINAL_MISSES:
        return Finish(LossReason.of(LossCode(last.result)))
    return None


def _may_continue(owner: str, state: RoundState) -> bool:
    """Whether lower rungs may know better: not when the owner itself has no such copy (now)."""
    return not any(attempt.node == owner and attempt.result == _UNKNOWN for attempt in state.attempts)


def _attempts_by(state: RoundState, kind: RouteKind) -> tuple[Attempt, ...]:
    return tuple(attempt for attempt in state.attempts if attempt.route is kind)


def _why_not_reached(knowledge: Knowledge, state: RoundState) -> str:
    return (
        "as many tries as a round may have"
        if _may_continue(knowledge.owner, state)
        else "the owner itself had answered"
    )


def _recorded(knowledge: Knowledge, state: RoundState) -> Step | None:
    if not knowledge.recorded or knowledge.recorded_misleading or _attempts_by(state, RouteKind.RECORDED):
        return None
    if not knowledge.recorded_safe:
        if not state.probed:  # in this very round: what was true before it may have ended
            return ProbeOwner()
        if not knowledge.owner_reached:
            return None
    return Try(RouteKind.RECORDED, knowledge.recorded)


def _why_not_recorded(knowledge: Knowledge, state: RoundState) -> str:
    if not knowledge.recorded:
        return "no routing cookie was recorded"
    if knowledge.recorded_misleading:
        return "the recorded cookie led elsewhere a moment ago"
    if not knowledge.recorded_safe and not knowledge.owner_reached:
        alive = "the node is alive, but " if knowledge.owner_alive else ""
        return f"a replay could move the visitor: {alive}the balancer is not known to send visitors to it"
    return _why_not_reached(knowledge, state)


def _own(knowledge: Knowledge, state: RoundState) -> Step | None:
    tries = _attempts_by(state, RouteKind.OWN)
    is_proven = knowledge.own is not None and knowledge.own.state is RouteState.PROVEN
    if (
        is_proven
        and knowledge.own is not None
        and (not tries or (state.minted and len(tries) == 1 and _is_misrouted(tries[-1])))
    ):
        return Try(RouteKind.OWN, knowledge.own.cookies)
    if not is_proven and knowledge.may_mint and not state.minted:
        return Mint()
    return None


def _is_misrouted(attempt: Attempt) -> bool:
    return attempt.result == _MISROUTED


def _why_not_own(knowledge: Knowledge, state: RoundState) -> str:
    if knowledge.own is None or knowledge.own.state is not RouteState.PROVEN:
        return "no cookie of our own is proven" + ("" if state.minted else "; the balancer was asked lately")
    return _why_not_reached(knowledge, state)


def _computed(knowledge: Knowledge, state: RoundState) -> Step | None:
    if not knowledge.computed or knowledge.computed_misleading or _attempts_by(state, RouteKind.COMPUTED):
        return None
    return Try(RouteKind.COMPUTED, knowledge.computed)


def _why_not_computed(knowledge: Knowledge, state: RoundState) -> str:
    if not knowledge.computed:
        return "no cookie can be computed or is configured"
    return (
        "the computed cookie led elsewhere a moment ago"
        if knowledge.computed_misleading
        else _why_not_reached(knowledge, state)
    )


def _direct(knowledge: Knowledge, state: RoundState) -> Step | None:
    if not knowledge.direct or _attempts_by(state, RouteKind.DIRECT):
        return None
    return Try(RouteKind.DIRECT, direct=knowledge.direct)


def _why_not_direct(knowledge: Knowledge, state: RoundState) -> str:
    return _why_not_reached(knowledge, state) if knowledge.direct else "no address of the node's own is configured"


def _any(_knowledge: Knowledge, state: RoundState) -> Step | None:
    return None if _attempts_by(state, RouteKind.ANY) else Try(RouteKind.ANY)


@frozen
class _Rung:
    """The functions of one rung.

    :ivar step: returns the next step on it; None if there is none to take.
    :ivar why_not: returns the reason why it was not tried in a finished round, as text for an operator.
    """

    step: Callable[[Knowledge, RoundState], Step | None]
    why_not: Callable[[Knowledge, RoundState], str]


#: One for each :class:`~lbcompanion.model.RouteKind`.
_RUNGS = {
    RouteKind.RECORDED: _Rung(_recorded, _why_not_recorded),
    RouteKind.OWN: _Rung(_own, _why_not_own),
    RouteKind.COMPUTED: _Rung(_computed, _why_not_computed),
    RouteKind.DIRECT: _Rung(_direct, _why_not_direct),
    RouteKind.ANY: _Rung(_any, _why_not_reached),
}


def _end_round(owner: str, state: RoundState, age: float, limits: LadderLimits, jitter: float) -> Wait | Finish:
    """The wait before the next round, or the end as lost. Even a notice that arrives late gets one whole round."""
    # A final miss from a central store or a peer counts only after the other rungs were tried for the owner itself.
    final = next((attempt.result for attempt in state.attempts if attempt.node and attempt.result in FINAL_MISSES), "")
    if final:
        return Finish(LossReason.of(LossCode(final)))
    if age >= limits.give_up_after_seconds:
        return Finish(_give_up_reason(owner, state, limits))
    wait = min(limits.first_backoff_seconds * 2.0 ** min(state.rounds, 32), limits.max_wait_seconds) * (0.5 + jitter)
    return Wait(max(0.05, min(wait, limits.give_up_after_seconds - age)))


def _give_up_reason(owner: str, state: RoundState, limits: LadderLimits) -> LossReason:
    if not _may_continue(owner, state):
        return LossReason.of(LossCode.UNKNOWN, owner=owner)
    # What went wrong on a way to the owner says more than that another node was reached.
    results = [attempt.result for attempt in state.attempts if attempt.result != _MISROUTED]
    last = results[-1] if results else state.attempts[-1].result if state.attempts else "no route"
    seconds = limits.give_up_after_seconds
    if not seconds:
        return LossReason.of(LossCode.NO_ANSWER_IN_ONE_ROUND, owner=owner, last=last)
    return LossReason.of(LossCode.NO_ANSWER, owner=owner, seconds=seconds, last=last)
