from __future__ import annotations

from typing import Any

import pytest
from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.fetch_command import FetchOutcome, NotFetchable, fetch_once
from lbcompanion.errors import TokenError
from lbcompanion.model import LossCode, LossReason
from lbcompanion.settings import CrawlerSettings, SiteSettings
from tests.support.simulated_farm import ORIGIN, SimulatedFarm


class FetchTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.farm = SimulatedFarm()
        self.said: list[str] = []
        self.token = self.farm.nodes["n2"].capture(b"hello")

    def fetch(self, what: str, cookies: dict[str, str] | None = None, **site: Any) -> FetchOutcome:
        fetching = fetch_once(
            self.farm.settings(**site),
            self.farm.clock,
            what,
            cookies,
            self.said.append,
            self.farm.agents,
            self.farm.now,
        )
        for _ in range(100):
            self.farm.clock.advance(0.05)  # a long search for a node rests between its probes
        fetched: FetchOutcome = self.successResultOf(fetching)
        return fetched

    def test_a_token(self) -> None:
        fetched = self.fetch(self.token)
        assert fetched.copy is not None
        self.assertEqual((fetched.copy.body, fetched.loss_reason), (b"hello", None))
        self.assertEqual(self.said[-1], "fetched")
        self.assertIn(self.token, self.farm.nodes["n2"].pages)

    def test_a_fetch_url_with_cookies(self) -> None:
        url = f"{ORIGIN}/_lbc/page/{self.token}#CTFetchCookies=SRV%3Dn2%3Bother%3Dsecret%3B"
        fetched = self.fetch(url, ladder=("recorded",), direct=True)
        self.assertEqual([each.result for each in fetched.attempts], ["fetched"])
        self.assertFalse(any("secret" in text or "=n2" in text for text in self.said))

    @pytest.mark.slow
    def test_not_there(self) -> None:
        self.farm.nodes["n2"].up = False
        fetched = self.fetch(self.token)
        text = "no answer from n2: last misrouted"
        self.assertEqual(fetched.loss_reason, LossReason(LossCode.NO_ANSWER_IN_ONE_ROUND, text))

    def test_an_invalid_token(self) -> None:
        self.failureResultOf(fetch_once(self.farm.settings(), self.farm.clock, "x" * 40), TokenError)

    def test_no_site(self) -> None:
        one = self.farm.settings()
        two = CrawlerSettings(one.crawler, {**one.sites, "b": SiteSettings("b", "http://b.example")})
        self.failureResultOf(fetch_once(two, self.farm.clock, self.token), NotFetchable)
