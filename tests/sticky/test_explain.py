"""What is told of a Cookie header."""

from hypothesis import given

from lbcompanion.sticky.cookies import parse
from lbcompanion.sticky.explain import Grounds, explain
from lbcompanion.testing.strategies import cookie_headers


def test_the_surest_comes_first() -> None:
    first, *others = explain("JSESSIONID=4E3A2B1C0D9F.node1")
    assert (first.dialect, first.node, first.replay, first.grounds) == (
        "jvmroute",
        "node1",
        ".node1",
        Grounds.RECOGNISED,
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


def test_a_name_that_looks_like_a_pattern_is_a_name() -> None:
    assert {finding.cookie for finding in explain("/(/=aaa")} == {"/(/"}


@given(cookie_headers())
def test_every_cookie_is_spoken_of(header: str) -> None:
    assert [*dict.fromkeys(finding.cookie for finding in explain(header))] == [*parse(header)]
