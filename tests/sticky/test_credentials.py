"""What is held back, and what is not."""

import pytest

from lbcompanion.sticky.credentials import looks_like_credential
from lbcompanion.testing.dialects import SESSIONS


@pytest.mark.parametrize(("name", "value"), SESSIONS.items())
def test_sessions_of_frameworks(name: str, value: str) -> None:
    assert looks_like_credential(name, value)
    assert looks_like_credential(name.upper(), value)
    assert looks_like_credential(f"__Host-{name}", value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shop_session", "9f8a7b6c5d"),
        ("mysess", "9f8a7b6c5d"),
        ("XSRF-TOKEN", "n1"),
        ("access_token", "n1"),
        ("plain", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl"),
        ("plain", "Bearer abc"),
        ("PHPSESSID", "n1"),
        ("user.sid", "9f8a7b6c5d"),
    ],
)
def test_names_and_values_that_hint_at_one(name: str, value: str) -> None:
    assert looks_like_credential(name, value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SRV", "n1"),
        ("SERVERID", "9f8a7b6c5d4e"),
        ("session_affinity", "9f8a7b6c5d4e"),
        ("stickysession", "9f8a7b6c5d4e"),
        ("lb_session", "9f8a7b6c5d4e"),
        ("farmsession", "n1"),
        ("farmsession", ".web-02"),
        ("ROUTEID", ".n2"),
        ("lb", "8afaff25b528bf6b4e17e29daea2cbe9580f763b563d1193005c66f1d6bd6215"),
        ("BALANCEID", "balancer.www1"),
    ],
)
def test_balancers_are_let_through(name: str, value: str) -> None:
    assert not looks_like_credential(name, value)
