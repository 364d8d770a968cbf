"""A minter before a simulated farm."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lbcompanion.crawler.fetching.fetcher import SiteFetcher
from lbcompanion.crawler.fetching.http_client import Client, IdentityCodingAgent
from lbcompanion.crawler.routes.minting import Minter
from lbcompanion.settings import StickyTable
from lbcompanion.sticky.reader import CookieReader
from lbcompanion.sticky.routes import Route, Routes
from tests.support.simulated_farm import SECRET, SimulatedFarm


class MinterCase(SynchronousTestCase):
    def set_up(self, farm: SimulatedFarm, **sticky: object) -> Minter:
        self.farm = farm
        self.kept: list[Route] = []
        self.routes = Routes()
        table = StickyTable(**sticky)  # type: ignore[arg-type]
        site = farm.settings(sticky=table).sites["main"]
        client = Client(IdentityCodingAgent(farm.hosts), farm.clock, 20)
        fetcher = SiteFetcher(
            site=site, secret=SECRET, balancer=client, direct=client, nonce=lambda: "nonce", now=farm.now
        )
        invented = iter(f"key{number}" for number in range(1000))
        return Minter(
            fetcher=fetcher,
            reader=CookieReader(table),
            routes=self.routes,
            save_route=self.kept.append,
            now=farm.now,
            new_key=lambda: next(invented),
        )

    def state(self, node: str) -> str:
        route = self.routes.get("main", node)
        return route.state.value if route else "none"

    def settle(self) -> None:
        self.farm.clock.pump([0.05] * 200)
