"""The cookies that count as credentials, and those that do not."""

import pytest

from lbcompanion.sticky.credentials import looks_like_credential, looks_like_id, looks_like_node_text, may_be_session
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


@pytest.mark.parametrize(
    "value",
    [
        "n1", "web-01", "srv0012", "appServer2", "nodeA", ".node1.node2", "node1.www.example.com", "10.0.0.11:8080",
        "[2001:db8::11]:8080", "http://10.0.0.11:8080", "https://node1.example.com/", "10.0.0.11%5:8080",
        "ip-10-0-0-11.eu-west-1.compute.internal", "shop-frontend-7d9c6b5f4-x2k9z", "i-0abc12345def67890", "us-east-1a",
    ],
)  # fmt: skip
def test_nodes_are_plain(value: str) -> None:
    assert looks_like_node_text(value)
    assert not looks_like_id(value)


@pytest.mark.parametrize(
    "value",
    [
        "0lbpd3mo3sc7r3v2ot59qdsl7d", "9f86d081884c7d659a2feaa0c55ad015", "5e9550b74eb06698", "0" * 16, "a" * 32,
        "0b5d8f6e-3a1c-4c2d-9e7f-5a6b7c8d9e0f", "BAh7B0kiD3Nlc3Npb25faWQGOgZFVEki", '"0a1b2c3d4e5f6071"',
        "Gp-Xk5q7rQ_8s9t0u", "02DiuFnsSsHWYH8WqVXaqGvd", "V1StGXR8_Z5j", "dQw4w9WgXcQ",
    ],
)  # fmt: skip
def test_ids_are_recognised_by_their_values(value: str) -> None:
    assert looks_like_id(value)
    assert may_be_session("anything", value)
    assert not looks_like_credential("anything", value)
