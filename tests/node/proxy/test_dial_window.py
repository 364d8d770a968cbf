"""The window of connections to an application that has not shown how many it accepts."""

from __future__ import annotations

from itertools import count, pairwise

from lbcompanion.node.proxy.dial_window import FIRST_SIZE, DialWindow


def test_a_few_connections_are_made_at_once() -> None:
    window = DialWindow()
    assert [window.allows(made, made, made) for made in range(FIRST_SIZE + 1)] == [True] * FIRST_SIZE + [False]


def test_each_proof_of_more_connections_lets_two_more_be_made() -> None:
    """So the number of connections doubles in each round trip."""
    window = DialWindow()
    rounds, connections = [], 0
    for _ in range(4):
        unaccepted = 0
        while window.allows(connections, unaccepted, 0):
            connections, unaccepted = connections + 1, unaccepted + 1
        rounds.append(connections)
        for accepted in range(connections - unaccepted + 1, connections + 1):
            window.accepted(accepted, is_limiting=True)
    assert rounds == [8, 24, 56, 120]


def test_it_does_not_grow_while_nobody_waits_for_it() -> None:
    window = DialWindow()
    for _ in range(100):
        window.accepted(1, is_limiting=False)
        window.not_kept(0)
    assert window.size == FIRST_SIZE
    window.accepted(1, is_limiting=True)
    assert window.size == FIRST_SIZE, "that many were accepted before"


def test_connections_that_were_accepted_at_once_before_need_no_window() -> None:
    window = DialWindow()
    window.accepted(40, is_limiting=False)
    assert window.allows(39, 39, 0)
    assert not window.allows(40, FIRST_SIZE, 0)
    assert window.allows(40, FIRST_SIZE - 1, 0)


def test_an_application_that_keeps_no_connection_opens_it() -> None:
    window = DialWindow()
    for _ in range(100):
        window.not_kept(min(window.size, 60))
    assert window.size == 128


def test_a_stall_doubles_it() -> None:
    window = DialWindow()
    window.stalled()
    assert window.size == 2 * FIRST_SIZE
    window.withdrawn(5)
    for _ in range(4):
        window.made_way(0, may_learn=False)
    assert not window.allows(5, 0, 1)
    window.stalled()
    assert window.allows(5, 0, 1), "it ends a pause as well"


def test_after_an_estimate_one_connection_beyond_the_proven_ones_is_tried_more_and_more_rarely() -> None:
    window = DialWindow()
    window.accepted(40, is_limiting=True)
    window.estimated(4)
    assert window.proven == 4
    window.withdrawn(5)
    assert (window.proven, window.size) == (5, FIRST_SIZE)
    for _ in range(3):
        window.made_way(0, may_learn=False)
    assert window.size == 1
    tried, requests = [], 0
    for requests in count():
        if window.allows(5, 0, requests):
            tried.append(requests)
            window.made_way(requests, may_learn=False)
        if len(tried) == 7:
            break
    assert [after - before for before, after in pairwise(tried)] == [10, 20, 40, 80, 160, 160]
    assert not window.allows(5, 0, requests + 1)
    window.made_way(requests, may_learn=True)
    assert window.allows(5, 3, requests + 1), "again an estimate may be made, which needs several"


def test_it_shrinks_when_connections_make_way() -> None:
    window = DialWindow()
    sizes = []
    for _ in range(5):
        window.made_way(0, may_learn=True)
        sizes.append(window.size)
    assert sizes == [4, 4, 4, 4, 4]
    assert window.allows(0, 0, 0), "an estimate needs further ones"
