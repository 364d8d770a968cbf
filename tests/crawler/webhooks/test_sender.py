"""Outcomes are sent to webhooks."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from treq.testing import RequestTraversalAgent
from twisted.internet.defer import Deferred, execute
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.admin import json_views
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.outcome_watch import LOOK_SECONDS, OutcomeWatch
from lbcompanion.crawler.queue.outcomes import Outcomes, note_outcome
from lbcompanion.crawler.queue.turns import Turns
from lbcompanion.crawler.queue.webhook_table import WebhookTable
from lbcompanion.crawler.webhooks.delivery import body_writer
from lbcompanion.crawler.webhooks.sender import OTHERS_TURN_SECONDS, SenderParts
from lbcompanion.crawler.webhooks.senders import Webhooks
from lbcompanion.errors import CompanionError
from lbcompanion.settings import OutcomesTable, WebhookSettings
from tests.support.in_memory_crawler import InMemoryCrawler
from tests.support.simulated_farm import SimulatedFarm, immediately
from tests.support.webhook_receiver import WEBHOOK_SECRET, Receiver

pytestmark = pytest.mark.slow

URL = "https://hooks.test/in?key=a-secret-key"
REPORT = "the webhook shop does not accept outcomes: status 503; 3 requests to hooks.test failed; see its program"
HOOK = WebhookSettings("shop", URL, Path("secret"), WEBHOOK_SECRET)


class Crawler:
    """A crawler that sends outcomes; several share a database."""

    def __init__(self, case: WebhookCase, name: str = "a", hook: WebhookSettings = HOOK) -> None:
        self.clock, self.health, self.logged = case.clock, Health(), list[str]()
        self.log_fails = False
        database, farm = case.rig.database, case.farm
        self.watch = OutcomeWatch(
            Outcomes(database), OutcomesTable(), defer=immediately, reactor=self.clock, now=farm.now
        )
        self.nonces = 0
        parts = SenderParts(
            outcomes=self.watch.outcomes,
            table=case.table,
            turns=Turns(database, name),
            defer=immediately,
            reactor=self.clock,
            now=farm.now,
            nonce=self.nonce,
            jitter=lambda: 1.0,
            metrics=case.rig.metrics,
            health=self.health,
            write_body=body_writer(json_views.recording),
            log_first=self.log_first,
        )
        self.webhooks = Webhooks({hook.name: hook}, self.watch, parts, lambda _hook: case.agent)
        case.successResultOf(self.ensure(self.webhooks.start()))
        case.addCleanup(self.stop)

    @staticmethod
    def ensure(coroutine: Any) -> Any:
        return Deferred.fromCoroutine(coroutine)

    def nonce(self) -> str:
        self.nonces += 1
        return f"{self.nonces:032x}"

    async def log_first(self, detail: str) -> None:
        if self.log_fails:
            raise CompanionError("the audit log cannot be written")
        self.logged.append(detail)

    def pass_time(self, seconds: float = LOOK_SECONDS) -> None:
        self.clock.pump([LOOK_SECONDS] * round(seconds / LOOK_SECONDS))

    def stop(self) -> None:
        self.webhooks.stop()
        self.watch.stop()


class WebhookCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.farm = SimulatedFarm()
        self.clock = Clock()
        holder = tempfile.TemporaryDirectory()
        self.addCleanup(holder.cleanup)
        self.rig = InMemoryCrawler(self.farm, Path(holder.name))
        self.addCleanup(self.rig.close)
        self.table = WebhookTable(self.rig.database, lambda _connection: self.clock.seconds())
        self.receiver = Receiver(self.farm.now)
        self.agent = RequestTraversalAgent(self.receiver)

    def end(self, count: int = 1, node: str = "n1") -> list[str]:
        """Give new recordings their outcome."""
        tokens = [self.farm.nodes[node].capture(b"x", f"/{node}") for _ in range(count)]
        for token in tokens:
            self.rig.take(token, {"SRV": node})
        return tokens

    def sample(self, name: str, **labels: str) -> float:
        value = self.rig.metrics.registry.get_sample_value(f"lbcompanion_crawler_{name}", {"webhook": "shop", **labels})
        return value or 0.0

    @property
    def state(self) -> Any:
        return self.table.states(["shop"])["shop"]


class SenderTests(WebhookCase):
    def test_outcomes_are_sent_in_order_signed_and_once(self) -> None:
        self.end()
        crawler = Crawler(self)
        tokens = self.end(3)
        crawler.pass_time()
        self.assertEqual(self.receiver.tokens, tokens)
        self.assertEqual(self.receiver.requests, [("POST", "/in?key=a-secret-key")])
        (body,) = self.receiver.accepted
        self.assertEqual((body["webhook"], body["missed"]), ("shop", None))
        self.assertEqual([each["id"].partition("-")[2] for each in body["events"]], ["2", "3", "4"])
        self.assertEqual(body["events"][0]["recording"], json_views.recording(self.rig.row(tokens[0])))
        crawler.pass_time(5)
        more = self.end(1, "n2")
        crawler.pass_time()
        self.assertEqual(self.receiver.tokens, tokens + more)
        self.assertEqual(self.sample("webhook_requests_total", result="accepted"), 2)
        self.assertEqual(self.sample("webhook_outcomes_total"), 4)
        self.assertEqual(crawler.logged, ["webhook shop"])

    def test_the_number_of_outcomes_of_a_request_is_limited(self) -> None:
        crawler = Crawler(self, hook=evolve(HOOK, max_events=2))
        tokens = self.end(5)
        crawler.pass_time()
        self.assertEqual([len(body["events"]) for body in self.receiver.accepted], [2, 2, 1])
        self.assertEqual(self.receiver.tokens, tokens)
        self.assertEqual(self.sample("webhook_outcomes_waiting"), 0)

    def test_what_fails_is_sent_again_after_longer_and_longer_pauses(self) -> None:
        crawler = Crawler(self)
        tokens = self.end(2)
        self.receiver.answers = [500, 302, 404, 410]
        seen = []
        for _ in range(40):
            crawler.pass_time()
            seen.append(len(self.receiver.requests))
        self.assertEqual([seen.index(number) * LOOK_SECONDS for number in (1, 2, 3, 4, 5)], [0, 1, 3, 7, 15])
        self.assertEqual(self.receiver.tokens, tokens)
        self.assertEqual(self.sample("webhook_requests_total", result="failed"), 4)

    def test_health_reports_a_webhook_that_fails_again_and_again(self) -> None:
        crawler = Crawler(self)
        self.end()
        self.receiver.answers = [503, 503, 503]
        for seconds, expected in ((0.5, []), (1, []), (2, [REPORT])):
            crawler.pass_time(seconds)
            self.assertEqual(crawler.health.lines(), expected)
        self.assertEqual((self.state.failures, self.state.error), (3, "status 503"))
        (report,) = self.successResultOf(crawler.ensure(crawler.webhooks.reports()))
        self.assertEqual((report.name, report.host, report.waiting), ("shop", "hooks.test", 1))
        self.assertNotIn("a-secret-key", repr(report) + repr(HOOK) + str(crawler.health.lines()))
        crawler.pass_time(4)
        self.assertEqual(crawler.health.lines(), [])
        self.assertEqual((self.state.failures, self.state.error), (0, ""))

    def test_retry_after_is_kept(self) -> None:
        crawler = Crawler(self)
        self.end()
        self.receiver.answers, self.receiver.headers = [429], {"Retry-After": "60"}
        crawler.pass_time()
        self.assertGreater(self.state.wait_seconds, 55)
        crawler.pass_time(30)
        self.assertEqual(len(self.receiver.requests), 1)

    def test_a_pause_has_a_limit(self) -> None:
        crawler = Crawler(self, hook=evolve(HOOK, max_pause_seconds=5))
        self.end()
        self.receiver.answers, self.receiver.headers = [503] * 9, {"Retry-After": "100000"}
        for _ in range(4):
            crawler.pass_time(6)
            self.assertLessEqual(self.state.wait_seconds, 5)
        self.assertEqual(self.state.failures, 5)

    def test_no_answer_is_a_failure(self) -> None:
        crawler = Crawler(self)
        tokens = self.end()
        self.receiver.answers = [0]
        crawler.pass_time(HOOK.timeout_seconds)
        self.assertEqual(self.state.failures, 0)
        more = self.end()
        crawler.pass_time(1)
        self.assertEqual((self.state.failures, self.state.error), (1, "no answer: timeout"))
        crawler.pass_time(60)
        self.assertEqual(self.receiver.tokens, tokens + more)

    def test_a_restart_goes_on_where_it_was(self) -> None:
        first = Crawler(self)
        self.receiver.answers = [500]
        tokens = self.end()
        first.pass_time()
        first.stop()
        tokens += self.end()
        second = Crawler(self)
        second.pass_time(2)
        self.assertEqual(self.receiver.tokens, tokens)

    def test_one_crawler_sends(self) -> None:
        one, two = Crawler(self, "one"), Crawler(self, "two")
        tokens = self.end(2)
        two.pass_time(10)
        self.assertEqual(self.receiver.tokens, tokens)
        one.stop()
        tokens += self.end()
        two.pass_time(OTHERS_TURN_SECONDS)
        self.assertEqual(self.receiver.tokens, tokens)
        self.assertEqual(two.health.lines(), [])

    def test_a_position_that_another_crawler_moved_is_left(self) -> None:
        crawler = Crawler(self)
        self.end(2)
        before = self.state.position
        crawler.pass_time()
        after = self.state.position
        self.assertFalse(self.table.accepted("shop", before, before))
        self.assertEqual(self.state.position, after)

    def test_filters(self) -> None:
        for hook, expected in (
            (evolve(HOOK, name="lost", outcome="lost"), 1),
            (evolve(HOOK, name="archived", outcome="archived"), 2),
            (evolve(HOOK, name="main", sites=("main",)), 3),
            (evolve(HOOK, name="other", sites=("other",)), 0),
        ):
            self.receiver.accepted.clear()
            crawler = Crawler(self, hook=hook)
            self.end(2)
            gone = self.farm.nodes["n1"].capture(b"x")
            self.farm.nodes["n1"].forget(gone, "expired")
            self.rig.take(gone)
            crawler.pass_time()
            self.assertEqual(len(self.receiver.tokens), expected, hook.name)
            crawler.stop()

    def test_a_new_webhook_gets_no_outcome_of_the_time_before(self) -> None:
        """More outcomes wait for their numbers than one transaction gives."""
        with self.rig.database.change() as connection:
            for number in range(2600):
                note_outcome(connection, f"t{number}", 1.0)
        crawler = Crawler(self)
        self.assertEqual(self.state.position.number, 2600)
        tokens = self.end()
        crawler.pass_time()
        self.assertEqual(self.receiver.tokens, tokens)

    def test_many_outcomes_that_a_webhook_does_not_want_are_skipped_in_parts(self) -> None:
        crawler = Crawler(self, hook=evolve(HOOK, sites=("other",)))
        start = self.state.position
        with self.rig.database.change() as connection:
            for number in range(2600):
                note_outcome(connection, f"t{number}", 1.0)
        reads: list[int] = []
        read = crawler.watch.outcomes.read

        def count(*given: Any) -> Any:
            reads[-1] += 1
            return read(*given)

        (sender,) = crawler.webhooks._senders
        next_batch = sender._next_batch

        def count_calls() -> Any:
            reads.append(0)
            return next_batch()

        self.patch(crawler.watch.outcomes, "read", count)
        self.patch(sender, "_next_batch", count_calls)
        crawler.pass_time(5)
        self.assertGreater(len(reads), 1)
        self.assertLessEqual(max(reads), 4)
        self.assertEqual(crawler.watch.outcomes.number().last - start.number, 2600)
        self.assertGreaterEqual(self.state.position.number - start.number, 1600)
        self.assertEqual(sender._checked_to, crawler.watch.outcomes.number().end)

    def test_a_defect_is_logged_once_in_a_while(self) -> None:
        crawler = Crawler(self)
        (sender,) = crawler.webhooks._senders
        calls: list[int] = []

        def fail() -> Any:
            calls.append(1)
            raise ZeroDivisionError

        self.patch(sender, "_next_batch", fail)
        self.end()
        crawler.pass_time(200)
        self.assertEqual(len(calls), 1)
        crawler.pass_time(150)
        self.assertEqual(len(calls), 2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)

    def test_outcomes_that_are_gone_are_reported(self) -> None:
        crawler = Crawler(self)
        start = self.state.position
        tokens = self.end(4)
        crawler.watch.outcomes.trim(self.farm.now(), 86400, 1)
        crawler.pass_time()
        gap, rest = self.receiver.accepted
        self.assertEqual(gap["events"], [])
        self.assertEqual(gap["missed"], {"after": str(start), "continues_after": f"{start.queue}-3"})
        self.assertEqual(rest["events"][0]["recording"]["token"], tokens[3])

    def test_nothing_is_sent_before_the_audit_log_has_it(self) -> None:
        crawler = Crawler(self)
        crawler.log_fails = True
        self.end()
        crawler.pass_time()
        self.assertEqual(self.receiver.requests, [])
        self.assertEqual(self.state.error, "the audit log cannot be written")

    def test_without_outcomes_nothing_is_asked(self) -> None:
        crawler = Crawler(self)
        self.end()
        crawler.pass_time(1)
        (sender,) = crawler.webhooks._senders
        self.patch(sender, "_send_all", None)
        crawler.pass_time(60)

    def test_a_stop_cancels_the_request(self) -> None:
        crawler = Crawler(self)
        self.end()
        self.receiver.answers = [0]
        crawler.pass_time()
        crawler.stop()
        self.assertEqual(crawler.clock.getDelayedCalls(), [])
        self.assertEqual(self.state.failures, 0)
        Crawler(self, "another").pass_time()
        self.assertEqual(len(self.receiver.accepted), 1)

    def test_a_stop_gives_back_a_turn_that_is_being_taken(self) -> None:
        """The database's thread is busy: it takes the turn after the stop has begun."""
        waiting: list[Callable[[], None]] = []

        def defer(call: Callable[..., Any], /, *args: Any) -> Deferred[Any]:
            done: Deferred[Any] = Deferred()

            def run() -> None:
                execute(call, *args).chainDeferred(done)

            waiting.append(run)
            return done

        crawler, other = Crawler(self), Crawler(self, "another")
        self.end()
        (sender,) = crawler.webhooks._senders
        sender._parts = evolve(sender._parts, defer=defer)
        sender.look(crawler.watch.outcomes.number())
        stopped = sender.stop()
        self.assertEqual(len(waiting), 2)
        for run in waiting:
            run()
        self.successResultOf(stopped)
        other.pass_time()
        self.assertEqual(len(self.receiver.accepted), 1)
