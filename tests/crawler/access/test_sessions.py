from __future__ import annotations

from attrs import evolve

from lbcompanion.crawler.access import sessions as module
from lbcompanion.crawler.access.passwords import Cost, PasswordHash
from lbcompanion.crawler.access.sessions import MAX_SESSIONS, MAX_SESSIONS_OF_USER, Sessions
from lbcompanion.crawler.access.users_file import User

ANN = User("ann", "viewer", PasswordHash.of("a", Cost(2, 1, 1)))
USERS = {"ann": ANN}


class Case:
    def __init__(self) -> None:
        self.now = 0.0
        self.sessions = Sessions(idle_seconds=100, max_seconds=1000, clock=lambda: self.now)


def test_the_time_of_a_session() -> None:
    case = Case()
    given = case.sessions.begin(ANN)
    for _ in range(10):
        case.now += 99
        assert case.sessions.find(given, USERS) == ANN
    case.now += 10
    assert case.sessions.find(given, USERS) is None
    given = case.sessions.begin(ANN)
    case.now += 100
    assert case.sessions.find(given, USERS) is None
    assert len(case.sessions) == 0


def test_the_user_decides() -> None:
    case = Case()
    given = case.sessions.begin(ANN)
    operator = evolve(ANN, role="operator")
    assert case.sessions.find(given, {"ann": operator}) == operator
    assert case.sessions.find(given, {"ann": evolve(ANN, password=PasswordHash.of("a", Cost(2, 1, 1)))}) is None
    assert case.sessions.find(given, USERS) is None, "it has ended"


def test_what_is_kept_is_no_id() -> None:
    case = Case()
    given = case.sessions.begin(ANN)
    assert given not in repr(vars(case.sessions))
    case.sessions.end(given)
    case.sessions.end("unknown")
    assert case.sessions.find(given, USERS) is None


def test_their_number_is_bounded(monkeypatch) -> None:  # type: ignore[no-untyped-def]
    case = Case()
    of_ann = [case.sessions.begin(ANN) for _ in range(MAX_SESSIONS_OF_USER + 1)]
    assert len(case.sessions) == MAX_SESSIONS_OF_USER
    assert case.sessions.find(of_ann[0], USERS) is None
    assert case.sessions.find(of_ann[1], USERS) == ANN
    monkeypatch.setattr(module, "MAX_SESSIONS", 40)
    for number in range(50):
        case.sessions.begin(evolve(ANN, name=f"u{number}"))
    assert len(case.sessions) == 40 < MAX_SESSIONS


def test_ended_ones_are_forgotten() -> None:
    case = Case()
    for number in range(20):
        case.sessions.begin(evolve(ANN, name=f"u{number}"))
    case.now += 100
    case.sessions.begin(ANN)
    assert len(case.sessions) == 1
