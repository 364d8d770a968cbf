"""The stream of outcomes: server-sent events."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import frozen
from sqlalchemy import delete
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from lbcompanion.crawler.access.users_file import change_users
from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.outcome_watch import LOOK_SECONDS
from lbcompanion.crawler.queue.outcomes import note_outcome
from lbcompanion.crawler.queue.schema import RECORDINGS
from lbcompanion.settings import OutcomesTable
from tests.support.access_case import VIEWER_TOKEN, AccessCase, bearer
from tests.support.crawler_api import ApiCase, admin_resource, stream_api

pytestmark = pytest.mark.slow

LIMITS = OutcomesTable(streams=2, heartbeat_seconds=15, stalled_seconds=30)


@frozen
class Event:
    kind: str
    id: str
    data: Any


def events(text: str) -> list[Event]:
    """The events of a stream, read as the HTML standard says; also those without data, which are none."""
    found = []
    for block in text.split("\n\n"):
        fields: dict[str, str] = {}
        for line in block.split("\n"):
            name, colon, value = line.partition(":")
            if name and colon:
                fields[name] = value.removeprefix(" ")
        if fields:
            data = json.loads(fields["data"]) if "data" in fields else None
            found.append(Event(fields.get("event", ""), fields.get("id", ""), data))
    return found


class Client:
    """A connection to the listener, over a transport in memory."""

    def __init__(self, case: StreamCase, query: str = "", headers: dict[str, str] | None = None) -> None:
        self.transport = StringTransport()
        self.protocol = case.site.buildProtocol(None)  # type: ignore[arg-type]
        self.protocol.makeConnection(self.transport)
        lines = "".join(f"{name}: {value}\r\n" for name, value in {"Host": "127.0.0.1", **(headers or {})}.items())
        self.protocol.dataReceived(f"GET /api/recordings/stream{query} HTTP/1.0\r\n{lines}\r\n".encode())

    def leave(self) -> None:
        """Close the connection."""
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def head(self) -> str:
        return self.transport.value().partition(b"\r\n\r\n")[0].decode()

    @property
    def text(self) -> str:
        return self.transport.value().partition(b"\r\n\r\n")[2].decode()

    @property
    def events(self) -> list[Event]:
        return events(self.text)

    @property
    def tokens(self) -> list[str]:
        return [each.data["token"] for each in self.events if each.kind == "recording"]

    @property
    def position(self) -> str:
        return self.events[-1].id


class StreamCase(ApiCase):
    limits = LIMITS

    def setUp(self) -> None:
        self.clock = Clock()
        super().setUp()

    def parts(self) -> dict[str, Any]:
        self.api = stream_api(self.rig, self.limits, self.clock)
        self.watch = self.api._watch
        return {"stream": self.api}

    def use(self, **more: Any) -> None:
        super().use(**self.parts(), **more)

    def end(self, body: bytes = b"x") -> str:
        """Give a new recording its outcome."""
        token = self.farm.nodes["n2"].capture(body, "/new")
        self.rig.take(token, {"SRV": "n2"})
        return token

    def pass_time(self, seconds: float = LOOK_SECONDS) -> None:
        self.clock.pump([LOOK_SECONDS] * int(seconds / LOOK_SECONDS))

    def ends(self, reason: str) -> float:
        name = "lbcompanion_crawler_streams_ended_total"
        return self.rig.metrics.registry.get_sample_value(name, {"reason": reason}) or 0.0


class StreamTests(StreamCase):
    def test_outcomes_come_as_they_happen(self) -> None:
        client = Client(self)
        self.assertIn("content-type: text/event-stream", client.head.lower())
        self.assertIn("no-store", client.head)
        self.assertEqual(client.tokens, [])
        new = [self.end(), self.end()]
        self.pass_time()
        self.assertEqual(client.tokens, new)
        whole = self.json(f"/api/recordings/{new[1]}")
        self.assertEqual(client.events[-1].data, {name: whole[name] for name in whole.keys() - {"previous", "next"}})
        later = self.end()
        self.pass_time()
        self.assertEqual(client.tokens, [*new, later])

    def test_many_outcomes_that_wait_for_their_numbers(self) -> None:
        """More outcomes wait than one transaction numbers."""
        with self.rig.database.change() as connection:
            for number in range(2600):
                note_outcome(connection, f"t{number}", 1.0)
        last = self.end()
        self.assertEqual(Client(self, "?seconds=0&after=beginning").tokens[-1:], [last])
        with self.rig.database.change() as connection:
            for number in range(2600):
                note_outcome(connection, f"u{number}", 1.0)
        self.end()
        client = Client(self)
        new = self.end()
        self.pass_time(5)
        self.assertEqual(client.tokens, [new])

    def test_a_client_that_comes_back_misses_and_gets_nothing_twice(self) -> None:
        for name in ("header", "parameter"):
            client = Client(self)
            first = self.end()
            self.pass_time()
            self.assertEqual(client.tokens, [first])
            client.leave()
            missed = [self.end(), self.end()]
            known = client.position
            headers, query = ({"Last-Event-ID": known}, "") if name == "header" else ({}, f"?after={known}")
            self.assertEqual(Client(self, f"{query or '?'}&seconds=0", headers).text.count("event: missed"), 0)
            again = Client(self, query, headers)
            self.assertEqual(again.tokens, missed)
            again.leave()

    def test_the_header_counts_more_than_the_parameter(self) -> None:
        """A browser that connects again has both: the parameter is where it began."""
        start = Client(self).position
        self.end()
        later = Client(self, f"?after={start}&seconds=0")
        again = Client(self, f"?after={start}", {"Last-Event-ID": later.position})
        self.assertEqual(again.tokens, [])

    def test_all_that_is_kept(self) -> None:
        client = Client(self, "?after=beginning&seconds=0")
        self.assertEqual(client.tokens, self.tokens)
        self.assertTrue(client.transport.disconnecting)
        self.assertEqual(self.ends("finished"), 1)

    def test_filters_are_those_of_the_search(self) -> None:
        for query, wanted in (
            ("node=n2", [self.tokens[1]]),
            ("outcome=lost", [self.tokens[3]]),
            ("url=*%253C1*", [self.tokens[1]]),
            ("method=POST", []),
        ):
            client = Client(self, f"?after=beginning&seconds=0&{query}")
            self.assertEqual(client.tokens, wanted, query)
        for query in ("outcome=open", "outcome=x", "after=x", "seconds=-1", "status=1", "after=00000000"):
            self.assertIn("HTTP/1.0 400", Client(self, f"?{query}").head, query)
        self.assertIn("400", Client(self, "", {"Last-Event-ID": "7"}).head)

    def test_a_filter_that_nothing_fulfils_moves_on(self) -> None:
        client = Client(self, "?method=POST")
        for _ in range(3):
            self.end()
        self.pass_time(15)
        self.assertIn(": heartbeat\n", client.text)
        self.assertEqual(client.position.rpartition("-")[2], "7")
        self.assertEqual(Client(self, "", {"Last-Event-ID": client.position}).tokens, [])

    def test_outcomes_that_are_gone_are_told(self) -> None:
        start = Client(self, "?after=beginning").events[0].id
        self.watch.outcomes.trim(self.farm.now(), 86400.0, 1)
        for given in (start, "00000000-1", start.rpartition("-")[0] + "-999"):
            client = Client(self, "", {"Last-Event-ID": given})
            first = client.events[0]
            self.assertEqual(first.kind, "missed", given)
            self.assertEqual(first.data["continues_after"], first.id)
            self.assertEqual(client.tokens, self.tokens[3:])
            client.leave()

    def test_outcomes_that_go_while_a_client_is_slow_are_told(self) -> None:
        client = Client(self)
        client.transport.producer.pauseProducing()  # type: ignore[union-attr]
        new = [self.end() for _ in range(4)]
        self.pass_time()
        self.watch.outcomes.trim(self.farm.now(), 86400.0, 1)
        client.transport.producer.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual([each.kind for each in client.events], ["", "missed", "recording"])
        self.assertEqual(client.tokens, new[3:])

    def test_erased_recordings_are_not_sent(self) -> None:
        with self.rig.database.change() as connection:
            connection.execute(delete(RECORDINGS).where(RECORDINGS.c.token == self.tokens[0]))
        client = Client(self, "?after=beginning")
        self.assertEqual(client.tokens, self.tokens[1:])

    def test_a_slow_client_costs_no_memory_and_is_cut(self) -> None:
        client, quick = Client(self), Client(self)
        client.transport.producer.pauseProducing()  # type: ignore[union-attr]
        before = len(client.text)
        new = [self.end() for _ in range(120)]
        self.pass_time(LIMITS.stalled_seconds - 1)
        self.assertEqual(len(client.text), before)
        self.assertEqual(quick.tokens, new)
        self.assertFalse(client.transport.disconnected)
        client.transport.producer.resumeProducing()  # type: ignore[union-attr]
        self.assertEqual(client.tokens, new)
        client.transport.producer.pauseProducing()  # type: ignore[union-attr]
        self.pass_time(LIMITS.stalled_seconds)
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.ends("slow"), 1)

    def test_one_read_is_bounded(self) -> None:
        client = Client(self)
        for _ in range(60):
            self.end()
        transport: Any = client.transport
        write = transport.write

        def full(data: bytes) -> None:
            write(data)
            transport.producer.pauseProducing()

        transport.write = full
        self.pass_time()
        self.assertEqual(len(client.tokens), 50)
        transport.write = write
        transport.producer.resumeProducing()
        self.assertEqual(len(client.tokens), 60)

    def test_too_many_streams_are_refused(self) -> None:
        clients = [Client(self) for _ in range(LIMITS.streams)]
        refused = Client(self)
        self.assertIn("HTTP/1.0 503", refused.head)
        self.assertIn("retry-after: 10", refused.head.lower())
        self.assertIn("[outcomes] streams", refused.text)
        gauge = "lbcompanion_crawler_streams"
        self.assertEqual(self.rig.metrics.registry.get_sample_value(gauge), LIMITS.streams)
        clients[0].leave()
        self.assertIn("HTTP/1.0 200", Client(self).head)
        self.assertEqual((self.ends("refused"), self.ends("client")), (1, 1))

    def test_without_streams_the_database_is_left_alone(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        client = Client(self)
        self.assertNotEqual(self.clock.getDelayedCalls(), [])
        client.leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_stop_ends_all_streams(self) -> None:
        client = Client(self)
        self.api.stop()
        self.watch.stop()
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_broken_database_ends_the_stream(self) -> None:
        client = Client(self)
        with self.rig.database.change() as connection:
            connection.exec_driver_sql("ALTER TABLE recordings RENAME TO away")
            connection.exec_driver_sql("INSERT INTO outcomes (token, at) VALUES ('t', 1)")
        self.pass_time()
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.ends("failed"), 1)

    def test_a_row_that_cannot_be_written_ends_the_stream(self) -> None:
        """Otherwise the stream would go on behind the row, and the client would miss it."""
        client = Client(self)

        def broken(_row: object) -> None:
            raise KeyError("defect")

        self.patch(json_views, "recording", broken)
        self.end()
        self.pass_time()
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.ends("failed"), 1)
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)

    def test_head(self) -> None:
        response, body = self.get("/api/recordings/stream", "HEAD")
        self.assertEqual((response.code, body), (200, b""))


class GuardedStreamTests(StreamCase, AccessCase):
    def test_a_removed_user_gets_nothing_more(self) -> None:
        self.listen(admin_resource(self.rig, access=self.access, **self.parts()))
        self.assertIn("401", Client(self).head)
        client = Client(self, "", bearer(VIEWER_TOKEN))
        self.pass_time(30)
        self.assertEqual(client.text.count(": heartbeat"), 2)
        self.assertFalse(client.transport.disconnected)
        change_users(self.users_file, lambda found: found.pop("vera"))
        self.pass_time(15)
        self.assertTrue(client.transport.disconnected)
        self.assertEqual(self.ends("not allowed"), 1)
