"""The explanation of a Cookie header."""

import pytest
from hypothesis import given

from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.explain import Confidence, explain
from lbcompanion.testing.strategies import cookie_headers


def test_the_surest_comes_first() -> None:
    first, *others = explain("JSESSIONID=4E3A2B1C0D9F.node1")
    assert (first.dialect, first.node, first.replay, first.grounds) == (
        "jvmroute",
        "node1",
        ".node1",
        Confidence.RECOGNISED,
    )
    assert "generic" not in {finding.dialect for finding in others}


def test_a_plain_text_may_be_many_things() -> None:
    found = {finding.dialect: finding for finding in explain("SRV=n1")}
    assert {"haproxy-insert", "haproxy-rewrite", "nginx-sticky", "generic"} <= set(found)
    assert found["haproxy-insert"].node == "n1"
    assert found["generic"].moves_visitor
    assert "aws-alb" not in found


def test_a_session_is_not_shown() -> None:
    (finding,) = explain("PHPSESSID=u8mq2v7rj4d5k1h3")
    assert finding.dialect == ""
    assert "allow_credentials" in finding.note
    assert "u8mq" not in repr(finding) + finding.replay


@pytest.mark.parametrize(
    "cookie",
    [
        "DokuWiki=0lbpd3mo3sc7r3v2ot59qdsl7d",
        "fe_typo_user=9f86d081884c7d659a2feaa0c55ad015",
        "d1a5e9d2c4b64f0d8f3f2f6c1b7e9a55=9f86d081884c7d659a2feaa0c55ad015",
        "_1a2b3=3abb336021d0fdb1",
        "_app=BAh7B0kiD3Nlc3Npb25faWQGOgZFVEkiJTlm",
        "JSESSIONID=node1.9f86d081884c7d659a2feaa0c55ad015",
        "PHPSESSID=q2w8e5r3t6y0u1i9o8p7a6s5~x",
    ],
)
def test_a_session_under_any_name_is_not_safe_to_replay(cookie: str) -> None:
    for finding in explain(cookie):
        assert finding.replay == ""
        assert "not recorded, unless" in finding.note
        assert finding.grounds is not Confidence.RECOGNISED


def test_addresses_are_decoded() -> None:
    for header in ("BIGipServerweb=184549386.36895.0000", 'sess="Cg4xMC4wLjAuMTE6ODA4MA=="', "sto-id-80=ALAAAAAKJABP"):
        assert explain(header)[0].node == "10.0.0.11:8080"


def test_why_nothing_is_recorded_is_reported() -> None:
    (alteon,) = explain("AlteonP=0a00000ac0a80117")
    assert (alteon.dialect, alteon.replay) == ("alteon", "")
    assert "never recorded: it holds the visitor's address" in alteon.note
    assert "c0a8" not in repr(alteon)
    alone = explain(f"AWSALBAPP-0={'a' * 64}")[0]
    assert (alone.dialect, alone.replay) == ("aws-alb-application", "")
    assert "together with another cookie" in alone.note
    assert explain("empty=")[0].note == "empty: no balancer sticks by it"


def test_whether_a_replay_is_safe_is_reported() -> None:
    assert explain("ROUTEID=.n1")[0].note.endswith("safe to replay")
    assert explain("__cflb=02DiuFnsSsHWYH8W")[0].note.endswith("replayed only while its node is reached")


def test_a_name_that_is_fixed_is_not_guessed() -> None:
    assert not {"google-gclb", "cloudflare", "heroku"} & {finding.dialect for finding in explain("where=q7w8e9r0t1z2")}


def test_a_name_that_looks_like_a_pattern_is_a_name() -> None:
    assert {finding.cookie for finding in explain("/(/=aaa")} == {"/(/"}


@given(cookie_headers())
def test_every_cookie_is_spoken_of(header: str) -> None:
    assert [*dict.fromkeys(finding.cookie for finding in explain(header))] == [*parse(header)]


def test_a_whole_line_will_do() -> None:
    line = "ROUTEID=.n2; Cookie: x=1"
    assert explain(f"Cookie: {line}") == explain(f" cookie:{line}".encode()) == explain(line)
    assert [one.cookie for one in explain(f"Cookie: {line}")][-1] == "Cookie: x"
