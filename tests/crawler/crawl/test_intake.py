from __future__ import annotations

from typing import Any

import pytest
import treq
from treq.client import HTTPClient
from treq.testing import RequestTraversalAgent, _SynchronousProducer
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport, StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource

from lbcompanion.crawler.crawl.intake import Intake, IntakeLimits, intake_site
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.queue.database import BacklogError
from lbcompanion.model import Loss
from lbcompanion.protocol.notices import BATCH_LIMIT_BYTES, write_notices
from lbcompanion.protocol.signatures import Signer
from tests.support.simulated_farm import SECRET, SimulatedFarm

URL = "http://crawler.local/notices"


class IntakeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.farm = SimulatedFarm()
        self.token = self.farm.nodes["n1"].capture(b"x")
        self.accepted: list[Arrival] = []
        self.lost: list[Loss] = []
        self.counted: list[tuple[str, int]] = []
        self.result: Any = None
        intake = Intake(
            secret=SECRET,
            sites=self.farm.settings().sites,
            accept=self.accept,
            now=self.farm.now,
            count_notices=lambda what, n: self.counted.append((what, n)),
        )
        agent = RequestTraversalAgent(Resource())
        agent._serverFactory = intake_site(intake, IntakeLimits(Clock()))
        self.http = HTTPClient(agent, data_to_body_producer=_SynchronousProducer)

    def accept(self, arrivals: list[Arrival], losses: list[Loss]) -> Deferred[int]:
        if self.result is not None:
            return fail(self.result)
        self.accepted += arrivals
        self.lost += losses
        return succeed(len(arrivals))

    def post(
        self, body: bytes, sign: bool = True, method: str = "POST", secret: bytes = SECRET, **more: list[str]
    ) -> int:
        signed = Signer(secret).sign(method, URL, "n0nce", self.farm.now(), body) if sign else []
        headers = {name: [value] for name, value in signed} | {
            name.replace("_", "-"): values for name, values in more.items()
        }
        response = self.successResultOf(
            self.http.request(method, URL, headers=headers, data=body, reactor=Clock(), unbuffered=True)
        )
        self.successResultOf(treq.content(response))
        return int(response.code)

    def test_accepted(self) -> None:
        notice = self.farm.notice(self.token, {"SRV": "n1"})
        self.assertEqual(self.post(write_notices([notice, notice])), 202)
        self.assertEqual(
            [(each.notice.token, each.owner, each.site) for each in self.accepted], [(self.token, "n1", "main")]
        )

    def test_unsigned_or_forged(self) -> None:
        body = write_notices([self.farm.notice(self.token)])
        self.assertEqual(self.post(body, sign=False), 401)
        self.assertEqual(self.post(body, secret=b"another"), 401)
        self.assertEqual(self.accepted, [])
        self.assertEqual(self.counted, [("refused", 1), ("refused", 1)])

    def test_behind_a_proxy_that_replaces_host(self) -> None:
        body = write_notices([self.farm.notice(self.token)])
        signed_for = URL.split("/")[2]
        self.assertEqual(self.post(body, host=["crawlers"]), 401)
        self.assertEqual(self.post(body, host=["crawlers"], lbc_authority=["other"]), 401)
        self.assertEqual(self.post(body, host=["crawlers"], lbc_authority=[signed_for], secret=b"another"), 401)
        self.assertEqual(self.post(body, host=["crawlers"], lbc_authority=[signed_for]), 202)

    def test_malformed(self) -> None:
        self.assertEqual(self.post(b"{"), 400)
        self.assertEqual(self.post(b'{"notices": 1}'), 400)

    def test_not_this_farms_token(self) -> None:
        altered = self.token[:10] + ("A" if self.token[10] != "A" else "B") + self.token[11:]
        self.assertEqual(self.post(write_notices([self.farm.notice(altered)])), 400)
        self.assertEqual(self.accepted, [])

    def test_lost_copies(self) -> None:
        loss = Loss(self.token, "the node stopped")
        self.assertEqual(self.post(write_notices([], [loss])), 202)
        self.assertEqual((self.accepted, self.lost), ([], [loss]))
        self.assertEqual(self.counted[-1], ("lost", 1))
        altered = self.token[:10] + ("A" if self.token[10] != "A" else "B") + self.token[11:]
        self.assertEqual(self.post(write_notices([], [Loss(altered, "the node stopped")])), 400)
        self.assertEqual(self.post(write_notices([], [loss]), sign=False), 401)
        self.assertEqual(self.lost, [loss])

    @pytest.mark.slow
    def test_too_large(self) -> None:
        self.assertEqual(self.post(b"x" * (BATCH_LIMIT_BYTES + 1)), 413)

    def test_other_methods(self) -> None:
        self.assertEqual(self.post(b"", method="GET"), 405)

    def test_trouble_is_not_accepted(self) -> None:
        self.result = BacklogError("full")
        self.assertEqual(self.post(write_notices([self.farm.notice(self.token)])), 503)


class ConnectionTests(SynchronousTestCase):
    """Connections that are not those of a quick client."""

    def setUp(self) -> None:
        self.farm = SimulatedFarm()
        self.clock = Clock()
        self.counted: list[str] = []
        intake = Intake(
            secret=SECRET,
            sites=self.farm.settings().sites,
            accept=lambda arrivals, _losses: succeed(len(arrivals)),
            now=self.farm.now,
            count_notices=lambda _what, _n: None,
        )
        self.site = intake_site(intake, IntakeLimits(self.clock, 2, 30, self.counted.append))

    def connect(self) -> tuple[Any, StringTransport]:
        protocol = self.site.buildProtocol(None)
        transport = StringTransportWithDisconnection()
        transport.protocol = protocol
        protocol.makeConnection(transport)
        return protocol, transport

    def request(self) -> bytes:
        token = self.farm.nodes["n1"].capture(b"x")
        body = write_notices([self.farm.notice(token)])
        signed = Signer(SECRET).sign("POST", URL, "n0nce", self.farm.now(), body)
        fields = "".join(f"{name}: {value}\r\n" for name, value in signed)
        head = f"POST /notices HTTP/1.1\r\nHost: crawler.local\r\n{fields}Content-Length: {len(body)}\r\n\r\n"
        return head.encode() + body

    def test_the_answer_has_no_body_and_no_type(self) -> None:
        protocol, transport = self.connect()
        for _ in range(2):
            transport.clear()
            protocol.dataReceived(self.request())
            head = transport.value().decode().lower()
            self.assertTrue(head.startswith("http/1.1 202 accepted\r\n"))
            self.assertIn("content-length: 0\r\n", head)
            self.assertNotIn("content-type", head)
        self.clock.advance(31)
        self.assertEqual(self.counted, [])
        protocol.connectionLost(Failure(ConnectionDone()))

    def test_a_body_that_trickles_is_cut_off(self) -> None:
        protocol, transport = self.connect()
        request = self.request()
        position = len(request) - 60
        protocol.dataReceived(request[:position])
        for _ in range(29):
            self.clock.advance(1)
            protocol.dataReceived(request[position : position + 1])
            position += 1
        self.assertEqual(transport.value(), b"")
        self.clock.advance(1)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 408 "))
        self.assertTrue(transport.disconnecting or not transport.connected)
        self.assertEqual(self.counted, ["timeout"])

    def test_a_head_that_trickles_is_cut_off(self) -> None:
        protocol, transport = self.connect()
        protocol.dataReceived(b"POST /notices HTTP/1.1\r\n")
        for _ in range(30):
            protocol.dataReceived(b"X: y\r\n")
            self.clock.advance(1)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 408 "))

    def test_connections_are_limited(self) -> None:
        first, _ = self.connect()
        self.connect()
        self.assertIsNone(self.site.buildProtocol(None))
        self.assertEqual(self.counted, ["refused"])
        first.connectionLost(Failure(ConnectionDone()))
        self.assertIsNotNone(self.site.buildProtocol(None))
