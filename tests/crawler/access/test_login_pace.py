from __future__ import annotations

import pytest

from lbcompanion.crawler.access import login_pace
from lbcompanion.crawler.access.login_pace import FORGET_SECONDS, LoginPace


class Case:
    def __init__(self) -> None:
        self.now = 0.0
        self.pace = LoginPace(free_failures=3, max_wait_seconds=30, clock=lambda: self.now)

    def fail(self, address: str, name: str = "") -> float:
        """One failure, once the wait is over; the wait after it."""
        self.now += self.pace.wait(address, name)
        self.pace.begin(address, name)
        return self.pace.wait(address, name)


def test_the_wait_doubles_up_to_a_maximum() -> None:
    case = Case()
    assert [case.fail("10.0.0.1") for _ in range(12)] == [0, 0, 1, 2, 4, 8, 16, 30, 30, 30, 30, 30]
    assert case.pace.wait("10.0.0.2") == 0


def test_an_address_and_a_name_wait_for_themselves() -> None:
    case = Case()
    for number in range(5):
        case.fail(f"10.0.0.{number}", "ann")
    assert case.pace.wait("10.9.9.9", "ann") > 0
    assert case.pace.wait("10.9.9.9", "bob") == 0
    for number in range(5):
        case.fail("10.8.8.8", f"name{number}")
    assert case.pace.wait("10.8.8.8", "bob") > 0


def test_a_user_does_not_wait_for_others_at_an_address_that_is_known() -> None:
    case = Case()
    case.pace.begin("10.0.0.1", "ann")
    case.pace.succeeded("10.0.0.1", "ann")
    for number in range(50):
        case.fail(f"10.1.0.{number}", "ann")
    assert case.pace.wait("10.0.0.1", "ann") == 0
    assert case.pace.wait("10.0.0.2", "ann") > 0


def test_a_success_does_not_excuse_guesses_at_other_names() -> None:
    case = Case()
    for number in range(3):
        case.pace.begin("10.0.0.1", f"victim{number}")
        case.pace.begin("10.0.0.1", "mallory")
        case.pace.succeeded("10.0.0.1", "mallory")
    assert case.pace.wait("10.0.0.1", "ann") > 0


def test_attempts_at_the_same_time_count() -> None:
    case = Case()
    for _ in range(3):
        assert case.pace.wait("10.0.0.1", "ann") == 0
        case.pace.begin("10.0.0.1", "ann")
    assert case.pace.wait("10.0.0.1", "ann") > 0


def test_failures_are_forgotten() -> None:
    case = Case()
    for _ in range(9):
        case.fail("10.0.0.1", "ann")
    case.now += FORGET_SECONDS
    assert case.pace.wait("10.0.0.1", "ann") == 0
    assert case.fail("10.0.0.1", "ann") == 0


@pytest.mark.parametrize(
    ("first", "second"),
    [("2001:db8::1", "2001:db8::ffff:1"), ("::ffff:10.0.0.1", "10.0.0.1"), ("fe80::1%eth0", "fe80::2")],
)
def test_addresses_of_one_host(first: str, second: str) -> None:
    case = Case()
    for _ in range(4):
        case.pace.begin(first)
    assert case.pace.wait(second) > 0
    assert case.pace.wait("2001:db8:0:1::1") == 0


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(login_pace, "MAX_ENTRIES", 100)
    case = Case()
    for number in range(1000):
        case.pace.begin(f"10.0.{number // 256}.{number % 256}", f"n{number}")
        case.pace.succeeded(f"10.0.{number // 256}.{number % 256}", f"n{number}")
    assert len(case.pace) <= 200


def test_a_flood_is_logged_once() -> None:
    case = Case()
    for _ in range(3):
        case.pace.begin("10.0.0.1", "ann")
    assert [case.pace.is_first_refusal("10.0.0.1", "ann") for _ in range(3)] == [True, False, False]
    case.now += 2
    case.pace.begin("10.0.0.1", "ann")
    assert case.pace.is_first_refusal("10.0.0.1", "ann")
