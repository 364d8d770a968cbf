"""Parts for twisted.web."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web import http_headers
from twisted.web._newclient import HTTP11ClientProtocol
from twisted.web._newclient import Request as ClientRequest
from twisted.web.client import ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH
from twisted.web.resource import Resource

from lbcompanion.crawler.admin.listener import AdminRequest
from lbcompanion.crawler.crawl.intake import BoundedRequest
from lbcompanion.web import (
    MAX_HEAD_BYTES,
    BodyTooLarge,
    BytesProducer,
    QuietSite,
    abort_body,
    connection_pool,
    read_body,
)
from tests.support.cpu_cost import ELEMENTS, MESSAGE_BYTES, check_cost, repeated
from tests.support.posted_form import NotingResource, post


class Response:
    """An Agent's response; its body is what the test delivers."""

    def __init__(self, length: Any = UNKNOWN_LENGTH) -> None:
        self.length = length
        self.closed = 0

    def deliverBody(self, protocol: Any) -> None:
        self.protocol = protocol
        protocol.makeConnection(self)

    def loseConnection(self) -> None:
        self.closed += 1

    def end(self, reason: Exception) -> None:
        self.protocol.connectionLost(Failure(reason))


def result_of(reading: Any) -> Any:
    found: list[Any] = []
    reading.addBoth(found.append)
    return found[0] if found else None


@pytest.mark.parametrize("end", [ResponseDone(), PotentialDataLoss()])
def test_a_body_within_the_bound(end: Exception) -> None:
    response = Response()
    reading = read_body(response, 10)
    response.protocol.dataReceived(b"01234")
    response.protocol.dataReceived(b"56789")
    response.end(end)
    assert (result_of(reading), response.closed) == (b"0123456789", 0)


def test_one_that_says_that_it_is_too_large_is_not_read() -> None:
    response = Response(11)
    reading = read_body(response, 10)
    assert response.closed == 1
    assert result_of(reading).check(BodyTooLarge)


def test_one_that_grows_too_large_is_cut_off() -> None:
    response = Response()
    reading = read_body(response, 10)
    response.protocol.dataReceived(b"0" * 10)
    assert not reading.called
    response.protocol.dataReceived(b"0")
    assert response.closed == 1
    response.protocol.dataReceived(b"0")
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert result_of(reading).check(BodyTooLarge)
    assert response.closed == 1


def test_one_that_breaks_off_fails() -> None:
    response = Response(10)
    reading = read_body(response, 10)
    response.protocol.dataReceived(b"0")
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert result_of(reading).check(ResponseFailed)


def test_who_cancels_closes_the_connection() -> None:
    response = Response()
    reading = read_body(response, 10)
    reading.cancel()
    assert response.closed == 1
    response.end(ResponseFailed([Failure(ConnectionLost())]))
    assert result_of(reading).check(CancelledError)


def test_one_that_nobody_reads() -> None:
    response = Response()
    abort_body(response)
    assert response.closed == 1


def test_a_site_logs_no_path_and_shows_no_traceback() -> None:
    site = QuietSite(Resource())
    assert (site.noisy, site.displayTracebacks) == (False, False)
    site.log(SimpleNamespace())  # type: ignore[arg-type]  it does not even look at the request


@pytest.mark.parametrize("request_factory", [QuietSite.requestFactory, BoundedRequest, AdminRequest])
@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=a"])
def test_twisted_parses_no_form(request_factory: Any, content_type: str) -> None:
    resource = NotingResource()
    site = QuietSite(resource, requestFactory=request_factory, reactor=Clock())
    assert b" 200 " in post(site, content_type.encode())
    assert resource.seen == ({b"c": [b"d"]}, content_type.encode(), b"a=b")


@pytest.mark.slow
@pytest.mark.parametrize("request_factory", [QuietSite.requestFactory, BoundedRequest, AdminRequest])
def test_the_cost_of_a_content_type(request_factory: Any) -> None:
    site = QuietSite(NotingResource(), requestFactory=request_factory, reactor=Clock())
    for element in (*ELEMENTS, 'W/"x",', 'a="\\"";', "(", ";a*{}=b", "=?utf-8?q?a?= ", "\\"):
        for kind in ("", "multipart/form-data; boundary="):
            value = kind.encode() + repeated(element, "", 16_000)
            check_cost(f"Content-Type: {kind}{element}", lambda: post(site, value))  # noqa: B023
    for element in ("a=b&", "&", "%41", "--a\r\n", "=", "a=%c3"):
        for kind in ("application/x-www-form-urlencoded", "multipart/form-data; boundary=a"):
            body = repeated(element, "", MESSAGE_BYTES)
            check_cost(f"{kind}, {element!r}", lambda: post(site, kind.encode(), body))  # noqa: B023


def test_a_body_is_written_at_once() -> None:
    written: list[bytes] = []
    producer = BytesProducer(b"body")
    done = producer.startProducing(SimpleNamespace(write=written.append))  # type: ignore[arg-type]
    assert (producer.length, written, done.called) == (4, [b"body"], True)


def _kept_connection() -> tuple[HTTP11ClientProtocol, StringTransport]:
    """A client's connection, as the factory of a pool makes it."""
    factory = connection_pool(Clock(), persistent=True)._factory(lambda protocol: None, "for a test")
    protocol = factory.buildProtocol(None)
    transport = StringTransport()
    protocol.makeConnection(transport)
    return protocol, transport


def _ask(protocol: HTTP11ClientProtocol, *pieces: bytes) -> list[Any]:
    """The status of the response to a request, or the class of its failure; empty without either."""
    results: list[Any] = []
    request = ClientRequest(b"GET", b"/", Headers({b"host": [b"a"]}), None, persistent=True)
    protocol.request(request).addCallbacks(
        lambda response: (results.append(response.code), response.deliverBody(Protocol())),
        lambda failure: results.append(failure.type),
    )
    for piece in pieces:
        protocol.dataReceived(piece)
    return results


def _head(size: int) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n" + b"A: b\r\n" * (size // 6)


@pytest.mark.slow
def test_a_head_has_a_limit_for_each_response_of_a_connection() -> None:
    protocol, transport = _kept_connection()
    for _ in range(3):
        assert _ask(protocol, _head(MAX_HEAD_BYTES // 2), b"\r\n") == [200]
    assert not transport.disconnecting
    assert _ask(protocol, *[_head(MAX_HEAD_BYTES // 4)] * 5) == [ResponseFailed]
    assert transport.disconnecting or transport.aborting


@pytest.mark.slow
def test_interim_responses_count_as_heads() -> None:
    protocol, _ = _kept_connection()
    assert _ask(protocol, b"HTTP/1.1 100 Continue\r\n\r\n" * (MAX_HEAD_BYTES // 20)) == [ResponseFailed]


def test_long_names_of_fields_are_not_remembered() -> None:
    remembered = http_headers._nameEncoder._canonicalHeaderCache
    before = sum(map(len, remembered))
    for number in range(100):
        name = b"x-%d" % number + b"y" * 9000
        assert Headers({name: [b"1"]}).getRawHeaders(name.upper()) == [b"1"]
    Headers({b"x-short-one": [b"1"]})
    assert remembered[b"x-short-one"] == b"X-Short-One"
    assert sum(map(len, remembered)) < before + 100
