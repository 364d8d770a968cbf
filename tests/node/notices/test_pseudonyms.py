from __future__ import annotations

from lbcompanion.http1.heads import read_request_head
from lbcompanion.node.notices.pseudonyms import Pseudonyms, VisitorPseudonyms
from lbcompanion.node.proxy.context import InternalRequest
from lbcompanion.protocol.notices import read_notices
from lbcompanion.protocol.visitors import visitor_key, visitor_pseudonym

PROXY = "10.0.0.100"


def of(
    agent: str = "Firefox", peer: str = "192.0.2.1", forwarded: str = "", secret: bytes = b"s" * 32, cookie: str = "a=b"
) -> str:
    lines = f"User-Agent: {agent}\r\nCookie: {cookie}\r\n" + (f"X-Forwarded-For: {forwarded}\r\n" if forwarded else "")
    head = read_request_head(f"POST /_lbc/notice HTTP/1.1\r\nHost: a\r\n{lines}\r\n".encode(), 100)
    request = InternalRequest(head, b"", peer, peer == PROXY, "http")
    return Pseudonyms(secret, lambda address: address == PROXY)(request)


def test_address_and_agent_tell_visitors_apart() -> None:
    assert of() == of()
    assert len({of(), of(agent="curl"), of(peer="192.0.2.2"), of(secret=b"t" * 32)}) == 4


def test_sessions_tell_visitors_apart_and_other_cookies_do_not() -> None:
    assert of(cookie="a=c; SRV=n1") == of()
    assert len({of(), of(cookie="a=b; sid=1"), of(cookie="sid=2; a=b")}) == 3
    assert of(cookie="sid=1; PHPSESSID=2") == of(cookie="PHPSESSID=2; x=y; sid=1")


def test_the_address_is_the_one_that_a_trusted_proxy_names() -> None:
    assert of(peer=PROXY, forwarded="192.0.2.1") == of()
    assert of(forwarded="192.0.2.9") == of()


def test_nothing_of_both_is_in_it_and_it_is_short() -> None:
    assert len(of()) == 12
    assert len(of(agent="x" * 5000)) == 12
    body = b'{"notices": [{"token": "1a", "url": "http://a/", "cookies": {}, "viewed_at": "2026-11-23T21:10:00Z", '
    body += b'"noticed_at": "2026-11-23T21:10:00Z", "by": "browser", "visitor": "%b"}]}' % of().encode()
    assert read_notices(body)[0].visitor == of()


def test_the_visitor_is_the_value_of_the_visitor_cookie() -> None:
    visitor = VisitorPseudonyms(b"s" * 32, "WRUID")
    alice = visitor({"WRUID": "alice", "sid": "1"})
    assert alice == visitor({"sid": "2", "WRUID": "alice"}) == visitor_pseudonym(visitor_key(b"s" * 32), "alice")
    assert "alice" not in alice
    assert visitor({"WRUID": "bob"}) != alice
    assert visitor({"sid": "1"}) == visitor({"WRUID": "1"}) == visitor({"WRUID": ""}) == ""
