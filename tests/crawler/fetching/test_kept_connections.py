"""Connections are kept for the requests of one route, for a short time, and never for those of another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from attrs import fields
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.protocol import Factory, Protocol

from lbcompanion.crawler.fetching.http_client import Client, FetchFailed, Reply, agent_for
from lbcompanion.crawler.fetching.kept_connections import IDLE_SECONDS, MAX_IDLE
from lbcompanion.settings import CrawlerFetchTable, CrawlerTable
from lbcompanion.testing.network import MemoryNetwork
from lbcompanion.web import BytesProducer

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


class Served(Protocol):
    """One connection at the server, and the heads of its requests."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.heads: list[bytes] = []
        self.lost = False
        self._received = b""

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            head, _, rest = self._received.partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
            if len(rest) < length:
                return
            self._received = rest[length:]
            self.heads.append(head)
            self.server.answer(self)

    def connectionLost(self, reason: object = None) -> None:
        self.lost = True


class Server:
    """A server and its client."""

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.host, server = self.network.host("10.0.0.1"), self.network.host("10.0.0.2", "server.example")
        self.connections: list[Served] = []
        self.answer: Callable[[Served], Any] = lambda one: one.transport.write(ANSWER)
        self.network.result_of(TCP4ServerEndpoint(server, 80).listen(Factory.forProtocol(self._serve)))
        self.agent = agent_for(self.host)
        self.client = Client(self.agent, self.host, 10.0)

    def _serve(self) -> Served:
        self.connections.append(Served(self))
        return self.connections[-1]

    def start(self, route: str, cookie: str = "", method: str = "GET", body: bytes = b"") -> Deferred[Reply]:
        fields = [("Cookie", cookie)] if cookie else []
        asking = self.client.ask(method, "http://server.example/a?", fields, 100, 0.0, body, route)
        return Deferred.fromCoroutine(asking)

    def ask(self, route: str, cookie: str = "", method: str = "GET", body: bytes = b"") -> Reply:
        return self.network.result_of(self.start(route, cookie, method, body))

    @property
    def open(self) -> int:
        self.network.run_until_idle()
        return sum(not one.lost for one in self.connections)


def test_a_route_keeps_its_connection() -> None:
    server = Server()
    for _ in range(5):
        assert server.ask("recorded n1").body == b"hi"
    assert len(server.connections) == 1
    head = server.connections[0].heads[-1].lower()
    assert b"connection: close" not in head
    assert (head.count(b"\r\nhost: server.example"), head.count(b"\r\naccept-encoding: identity")) == (1, 1)
    assert head.startswith(b"get /a? http/1.1")


def test_routes_never_share_a_connection() -> None:
    server = Server()
    for route in ("recorded n1", "recorded n2", "own n1", "any n1", "", ""):
        server.ask(route)
    assert len(server.connections) == 6
    for route in ("recorded n1", "recorded n2", "own n1", "any n1", ""):
        server.ask(route)
    assert [len(one.heads) for one in server.connections] == [2, 2, 2, 2, 1, 1, 1]
    assert b"connection: close" in server.connections[-1].heads[0].lower()


def test_idle_connections_are_closed() -> None:
    server = Server()
    server.ask("a")
    server.network.pass_time(IDLE_SECONDS * 0.6)
    server.ask("b")
    server.network.pass_time(IDLE_SECONDS * 0.6)
    assert [one.lost for one in server.connections] == [True, False]
    server.network.pass_time(IDLE_SECONDS)
    assert server.open == 0
    assert not server.host.getDelayedCalls()


@pytest.mark.slow
def test_few_connections_are_kept() -> None:
    server = Server()
    for number in range(MAX_IDLE + 20):
        server.ask(f"recorded n{number}")
    assert server.open == MAX_IDLE
    assert server.agent.kept is not None
    assert server.agent.kept.idle == MAX_IDLE
    assert [one.lost for one in server.connections[:20]] == [True] * 20


def test_a_wrong_turn_ends_the_connections_of_the_route() -> None:
    server = Server()
    server.ask("recorded n1")
    server.ask("recorded n2")
    server.client.forget("recorded n1")
    assert server.open == 1
    assert [one.lost for one in server.connections] == [True, False]
    server.client.close()
    assert server.open == 0
    server.ask("recorded n2")
    assert server.open == 0
    assert not server.host.getDelayedCalls()


def test_an_answer_on_the_connection_of_other_cookies_says_so() -> None:
    server = Server()
    found = [server.ask("recorded n1", cookie).shared for cookie in ("SRV=a", "SRV=a", "SRV=b", "", "SRV=a")]
    assert found == [False, False, True, True, False]
    assert len(server.connections) == 1


@pytest.mark.parametrize(("method", "body"), [("GET", b""), ("DELETE", b""), ("POST", b""), ("POST", b"{}")])
def test_a_connection_that_ended_meanwhile_is_replaced_once(method: str, body: bytes) -> None:
    server = Server()
    server.ask("own n1")
    server.answer = lambda one: one.transport.loseConnection() if len(one.heads) > 1 else one.transport.write(ANSWER)
    assert server.ask("own n1", "", method, body).body == b"hi"
    assert [len(one.heads) for one in server.connections] == [2, 1]


def test_a_new_connection_that_ends_is_not_replaced() -> None:
    server = Server()
    server.ask("own n1")
    server.answer = lambda one: one.transport.loseConnection()
    with pytest.raises(FetchFailed, match="broken"):
        server.ask("own n1")
    assert [len(one.heads) for one in server.connections] == [2, 1]


@pytest.mark.parametrize("part", [b"H", b"HTTP/1.1 200 OK\r\nA: b", ANSWER[:-1]])
def test_what_was_answered_in_part_is_not_asked_again(part: bytes) -> None:
    server = Server()
    server.ask("own n1")

    def answer(one: Served) -> None:
        one.transport.write(part)
        one.transport.loseConnection()

    server.answer = answer
    with pytest.raises(FetchFailed):
        server.ask("own n1")
    assert len(server.connections) == 1


def test_what_was_cancelled_is_not_asked_again() -> None:
    server = Server()
    server.ask("own n1")
    server.answer = lambda one: None
    asking = server.start("own n1")
    failures: list[Any] = []
    asking.addErrback(failures.append)
    server.network.pass_time(11)
    assert failures[0].value.word == "timeout"
    assert len(server.connections) == 1
    assert server.open == 0


@pytest.mark.parametrize(
    "answer",
    [
        ANSWER + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged",
        ANSWER + b"\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n0\r\n\r\n",
        ANSWER.replace(b"1.1", b"1.0"),
        ANSWER.replace(b"OK", b"OK\r\nConnection: Close"),
        ANSWER.replace(b"OK", b"OK\r\nConnection: x, close"),
        ANSWER.replace(b"OK", b"OK\r\nConnection: x\r\nConnection: CLOSE"),
    ],
)
def test_an_answer_may_end_its_connection(answer: bytes) -> None:
    server = Server()
    server.answer = lambda one: one.transport.write(answer)
    assert server.ask("own n1").body in {b"hi", b""}
    server.answer = lambda one: one.transport.write(ANSWER)
    assert server.ask("own n1").body == b"hi"
    assert [len(one.heads) for one in server.connections] == [1, 1]


def test_bytes_without_a_request_end_the_connection() -> None:
    server = Server()
    server.ask("own n1")
    server.connections[0].transport.write(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert server.open == 0
    assert server.ask("own n1").status == 200


def test_a_body_can_be_written_twice() -> None:
    written: list[bytes] = []
    producer = BytesProducer(b"ab")
    for _ in range(2):
        producer.startProducing(type("Consumer", (), {"write": staticmethod(written.append)}))
    assert written == [b"ab", b"ab"]


@pytest.mark.slow
def test_connections_survive_a_change_of_the_nodes_shares() -> None:
    """With as many kept as there are requests at a time, each change would close some and open others."""
    concurrency = fields(CrawlerTable).concurrency.default
    server = Server()
    for share in (0.5, 1.0, 0.25, 0.75, 0.0, 0.6):
        requests = round(share * concurrency)
        routes = ["own n1"] * requests + ["own n2"] * (concurrency - requests)
        for reply in [server.start(route) for route in routes]:
            server.network.result_of(reply)
    assert len(server.connections) <= 2 * concurrency
    assert CrawlerFetchTable().idle_connections == MAX_IDLE
