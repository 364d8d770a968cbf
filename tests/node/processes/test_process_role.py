"""A process's place among those of its node."""

from __future__ import annotations

from typing import Any

import pytest
from twisted.internet.error import ReactorNotRunning

from lbcompanion.node.processes.process_role import ProcessRole, new_group, stop_reactor


@pytest.mark.parametrize(("number", "delivers"), [(0, True), (1, True), (2, False), (64, False)])
def test_one_process_delivers_for_all(number: int, delivers: bool) -> None:
    assert ProcessRole(number=number).delivers_notices is delivers


def test_no_two_groups_have_one_name() -> None:
    assert len({new_group() for _ in range(100)}) == 100
    assert ProcessRole().group != ProcessRole().group


def test_a_reactor_that_stops_already_is_left_alone() -> None:
    class Reactor:
        def stop(self) -> Any:
            raise ReactorNotRunning

    stop_reactor(Reactor())
