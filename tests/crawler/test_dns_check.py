from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from lbcompanion.crawler.dns_check import CHECK_SECONDS, DnsCheck
from lbcompanion.crawler.health import Health
from lbcompanion.settings import SiteSettings


class Resolver:
    def __init__(self) -> None:
        self.known = {"www.example.com"}
        self.silent = False
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, host: str) -> None:
        self.asked.append(host)
        if self.silent:
            return
        receiver.resolutionBegan(None)
        if host in self.known:
            receiver.addressResolved(object())
        receiver.resolutionComplete()


def test_names_that_do_not_resolve_are_reported() -> None:
    clock, health = Clock(), Health()
    clock.nameResolver = Resolver()  # type: ignore[attr-defined]
    resolver: Resolver = clock.nameResolver  # type: ignore[attr-defined]
    sites = [
        SiteSettings("main", "https://www.example.com"),
        SiteSettings("shop", "https://shop.example.com:8443"),
        SiteSettings("connected", "https://nowhere.example", connect="tcp:127.0.0.1:80"),
    ]
    names = DnsCheck(sites, clock, health)
    names.start()
    assert resolver.asked == ["www.example.com", "shop.example.com"]
    (line,) = health.lines()
    assert line.startswith("site shop: the name shop.example.com does not resolve")
    resolver.known.add("shop.example.com")
    clock.advance(CHECK_SECONDS)
    assert health.lines() == []
    resolver.silent = True
    clock.advance(CHECK_SECONDS)
    clock.advance(10)
    assert len(health.lines()) == 2
    names.stop()
    names.stop()
