from __future__ import annotations

import pytest
from attrs import evolve
from hypothesis import given
from hypothesis import strategies as st

from lbcompanion.model import DEFAULT_LADDER, Attempt, LossCode, LossReason, RouteKind, RoutingCookie
from lbcompanion.sticky.ladder import (
    FETCHED,
    FINAL_MISSES,
    Fetched,
    Finish,
    Knowledge,
    LadderLimits,
    Mint,
    ProbeOwner,
    RoundState,
    Step,
    Try,
    Wait,
    next_step,
    skipped_rungs,
)
from lbcompanion.sticky.routes import Route, RouteState

RECORDED = (RoutingCookie("SRV", "theirs"),)
OURS = (RoutingCookie("SRV", "ours"),)
COMPUTED = (RoutingCookie("SRV", "computed"),)
LIMITS = LadderLimits(give_up_after_seconds=120)


def own(state: RouteState = RouteState.PROVEN) -> Route:
    return Route("main", "n1", OURS, "", state, 0.0)


def went(*results: tuple[str, str, str]) -> RoundState:
    return RoundState(attempts=tuple(Attempt(RouteKind(kind), node, result, 1.0) for kind, node, result in results))


def step(knowledge: Knowledge, state: RoundState | None = None, age: float = 0.0) -> Step:
    return next_step(DEFAULT_LADDER, knowledge, state or RoundState(), age, LIMITS)


FULL = Knowledge("n1", RECORDED, True, own=own(), may_mint=True, computed=COMPUTED, direct="http://n1.local")


def test_the_rungs_in_their_order() -> None:
    state = RoundState()
    order = []
    while isinstance(now := step(FULL, state), Try):
        order.append((now.route.value, now.cookies, now.direct))
        state = evolve(state, attempts=(*state.attempts, Attempt(now.route, "n2", "misrouted", 1.0)))
    assert order == [
        ("recorded", RECORDED, ""),
        ("own", OURS, ""),
        ("computed", COMPUTED, ""),
        ("direct", (), "http://n1.local"),
        ("any", (), ""),
    ]
    assert isinstance(now, Wait)


def test_misrouted_moves_down_without_waiting() -> None:
    assert step(FULL, went(("recorded", "n2", "misrouted"))) == Try(RouteKind.OWN, OURS)


def test_a_stale_route_is_minted_again_once() -> None:
    knowledge = evolve(FULL, own=own(RouteState.STALE))
    state = went(("recorded", "n2", "misrouted"))
    assert step(knowledge, state) == Mint()
    assert step(knowledge, evolve(state, minted=True)) == Try(RouteKind.COMPUTED, COMPUTED)
    assert step(evolve(knowledge, may_mint=False), state) == Try(RouteKind.COMPUTED, COMPUTED)


def test_own_twice_after_minting() -> None:
    state = evolve(went(("recorded", "n2", "misrouted"), ("own", "n3", "misrouted")), minted=True)
    assert step(FULL, state) == Try(RouteKind.OWN, OURS)


def test_the_copy_ends() -> None:
    assert step(FULL, went(("own", "n1", FETCHED))) == Fetched()


def test_the_owners_final_word_ends() -> None:
    for word in FINAL_MISSES:
        assert step(FULL, went(("recorded", "n1", word))) == Finish(LossReason(LossCode(word), word))


def test_anothers_final_word_counts_when_the_owner_had_its_chance() -> None:
    state = went(("recorded", "n2", "expired"))
    assert step(FULL, state) == Try(RouteKind.OWN, OURS)
    bare = Knowledge("n1", RECORDED, True)
    state = went(("recorded", "n2", "expired"), ("any", "n2", "misrouted"))
    assert step(bare, state) == Finish(LossReason(LossCode.EXPIRED, "expired"))


def test_an_unproven_final_miss_does_not_count() -> None:
    assert step(FULL, went(("recorded", "", "expired"))) == Try(RouteKind.OWN, OURS)


def test_unknown_at_the_owner_waits_then_is_lost() -> None:
    state = went(("recorded", "n1", "unknown"))
    assert isinstance(step(FULL, state), Wait)
    assert step(FULL, state, 120.0) == Finish(LossReason(LossCode.UNKNOWN, "unknown at its owner n1"))


def test_unknown_elsewhere_moves_on() -> None:
    assert step(FULL, went(("recorded", "n2", "unknown"))) == Try(RouteKind.OWN, OURS)


def test_however_old_a_notice_is_it_gets_one_round() -> None:
    assert isinstance(step(FULL, age=1e9), Try)


def test_the_reason_names_node_time_and_last_result() -> None:
    knowledge = Knowledge("n1")
    state = went(("direct", "", "refused"), ("any", "n2", "misrouted"))
    text = "no answer from n1 within 120 s: last refused"
    assert step(knowledge, state, 120.0) == Finish(LossReason(LossCode.NO_ANSWER, text))
    once = next_step(DEFAULT_LADDER, knowledge, state, 0.0, LadderLimits(give_up_after_seconds=0))
    assert once == Finish(LossReason(LossCode.NO_ANSWER_IN_ONE_ROUND, "no answer from n1: last refused"))


def test_unsafe_cookies_wait_for_the_node() -> None:
    unsafe = Knowledge("n1", RECORDED)
    assert step(unsafe) == ProbeOwner()
    assert step(unsafe, RoundState(probed=True)) == Try(RouteKind.ANY)
    reached = evolve(unsafe, owner_reached=True)
    assert step(reached) == ProbeOwner()
    assert step(reached, RoundState(probed=True)) == Try(RouteKind.RECORDED, RECORDED)
    assert step(evolve(unsafe, owner_alive=True), RoundState(probed=True)) == Try(RouteKind.ANY)


def test_unsafe_cookies_come_after_all_that_moves_nobody() -> None:
    unsafe = evolve(FULL, recorded_safe=False, owner_reached=True)
    state = RoundState(probed=True)
    routes = []
    while isinstance(now := step(unsafe, state), Try):
        routes.append(now.route.value)
        state = evolve(state, attempts=(*state.attempts, Attempt(now.route, "", "refused", 1.0)))
    assert routes == ["own", "computed", "direct", "recorded", "any"]


def test_a_key_that_may_be_younger_than_the_page_comes_after_our_own_cookie() -> None:
    for later in (evolve(FULL, recorded_hash_keyed=True), evolve(FULL, recorded_doubtful=True)):
        assert step(later) == Try(RouteKind.OWN, OURS)
        assert step(later, went(("own", "n2", "misrouted"))) == Try(RouteKind.RECORDED, RECORDED)
        assert step(evolve(later, own=None)) == Mint()
        assert step(evolve(later, own=None), RoundState(minted=True)) == Try(RouteKind.RECORDED, RECORDED)


def test_the_back_off_grows_and_is_bounded() -> None:
    waits = []
    for rounds in range(12):
        knowledge = Knowledge("n1")
        state = evolve(went(("any", "", "timeout")), rounds=rounds)
        now = next_step(DEFAULT_LADDER, knowledge, state, 0.0, LIMITS, 0.5)
        assert isinstance(now, Wait)
        waits.append(now.seconds)
    assert waits == sorted(waits)
    assert waits[0] == LIMITS.first_backoff_seconds
    assert waits[-1] == LIMITS.max_wait_seconds


def test_a_candidate_is_no_route_until_it_is_proven() -> None:
    knowledge = evolve(FULL, own=own(RouteState.CANDIDATE))
    state = went(("recorded", "n2", "misrouted"))
    assert step(knowledge, state) == Mint()
    assert step(evolve(knowledge, may_mint=False), state) == Try(RouteKind.COMPUTED, COMPUTED)


def test_what_was_not_tried_is_reported_with_its_reason() -> None:
    def told(knowledge: Knowledge, state: RoundState) -> dict[str, str]:
        return {rung.value: why for rung, why in skipped_rungs(DEFAULT_LADDER, knowledge, state)}

    bare = told(Knowledge("n1"), went(("any", "n2", "misrouted")))
    assert list(bare) == ["own", "computed", "direct", "recorded"]
    assert bare["recorded"] == "no routing cookie was recorded"
    assert bare["direct"] == "no address of the node's own is configured"
    assert bare["own"] == "no cookie of our own is proven; the balancer was asked lately"
    risky = told(Knowledge("n1", RECORDED), RoundState())
    assert risky["recorded"] == "a replay could move the visitor: the balancer is not known to send visitors to it"
    is_misleading = told(evolve(FULL, recorded_misleading=True, computed_misleading=True), RoundState())
    assert is_misleading["recorded"] == "the recorded cookie led elsewhere a moment ago"
    assert is_misleading["computed"] == "the computed cookie led elsewhere a moment ago"
    assert told(FULL, went(("own", "n1", "unknown")))["direct"] == "the owner itself had answered"


def test_every_kind_of_route_is_a_rung() -> None:
    """Each alone: it is tried where all is known, and where nothing is, there is a reason why it was not."""
    for kind in RouteKind:
        assert next_step((kind.value,), FULL, RoundState(), 0.0, LIMITS).route is kind  # type: ignore[union-attr]
        assert [(rung, bool(why)) for rung, why in skipped_rungs((kind.value,), Knowledge("n1"), RoundState())] == [
            (kind, True)
        ]


def test_a_short_ladder() -> None:
    assert next_step(("direct",), Knowledge("n1", RECORDED, True), RoundState(), 0.0, LIMITS) == Wait(1.0)
    end = next_step(("direct",), Knowledge("n1", RECORDED, True), RoundState(), 120.0, LIMITS)
    assert end == Finish(LossReason(LossCode.NO_ANSWER, "no answer from n1 within 120 s: last no route"))


_RESULTS = st.sampled_from(
    ["timeout", "refused", "unproven", "digest", "status 503", "misrouted", "unknown", "expired", "pulled", "fetched"]
)


@pytest.mark.slow
@given(st.data(), st.permutations(DEFAULT_LADDER), st.integers(0, 5), st.floats(0, 0.999))
def test_it_ends_within_its_bound_and_never_risks_a_visitor(
    data: st.DataObject, order: list[str], rungs: int, jitter: float
) -> None:
    ladder = tuple(order[:rungs])
    age, state, steps = 0.0, RoundState(), 0
    while True:
        knowledge = Knowledge(
            owner="n1",
            recorded=data.draw(st.sampled_from([(), RECORDED])),
            recorded_safe=data.draw(st.booleans()),
            recorded_hash_keyed=data.draw(st.booleans()),
            recorded_doubtful=data.draw(st.booleans()),
            recorded_misleading=data.draw(st.booleans()),
            owner_reached=data.draw(st.booleans()),
            own=data.draw(st.sampled_from([None, *(own(state) for state in RouteState)])),
            may_mint=data.draw(st.booleans()),
            computed=data.draw(st.sampled_from([(), COMPUTED])),
            direct=data.draw(st.sampled_from(["", "http://n1.local"])),
        )
        now = next_step(ladder, knowledge, state, age, LadderLimits(give_up_after_seconds=30), jitter)
        steps += 1
        assert steps < 30 * 20 * 12
        if isinstance(now, Fetched | Finish):
            assert isinstance(now, Fetched) or now.reason.text
            assert isinstance(now, Fetched) == (state.attempts[-1:] != () and state.attempts[-1].result == FETCHED)
            return
        if isinstance(now, Wait):
            assert 0 < now.seconds <= 45
            age += now.seconds
            state = RoundState(rounds=state.rounds + 1)
        elif isinstance(now, Mint):
            assert not state.minted
            state = evolve(state, minted=True)
        elif isinstance(now, ProbeOwner):
            assert not state.probed
            state = evolve(state, probed=True)
        else:
            assert now.route.value in ladder
            if now.cookies == RECORDED:
                assert knowledge.recorded_safe or (knowledge.owner_reached and state.probed)
            result = data.draw(_RESULTS)
            node = data.draw(st.sampled_from(["n1", "n2", ""]))
            state = evolve(state, attempts=(*state.attempts, Attempt(now.route, node, result, 1.0)))
            assert len(state.attempts) <= LadderLimits().tries_per_round
