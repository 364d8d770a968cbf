"""A site that answers by data: what the doctor would see of balancers of all kinds, without a socket."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from hashlib import sha256
from itertools import count

from attrs import define, evolve, field

from lbcompanion.doctor.advice import advice
from lbcompanion.doctor.observations import Observations, ParsedSetCookie, ProbeResponse, Replay, RequestKind
from lbcompanion.doctor.plan import next_series

NODES = ("n1", "n2", "n3")


#: ``choose(cookies, turn)`` -> node, cookies that the balancer hands out then.
Choice = Callable[[Mapping[str, str], int], tuple[str, tuple[ParsedSetCookie, ...]]]


def insert(**more) -> Choice:
    """HAProxy's insertion."""

    def choose(cookies, turn):
        node = cookies.get("SRV")
        if node in NODES:
            return node, ()
        node = NODES[turn % 3]
        return node, (ParsedSetCookie("SRV", node, **more),)

    return choose


def nobody(cookies, turn):
    """Round robin."""
    return NODES[turn % 3], ()


def source(cookies, turn):
    """By the client's address, with a cookie for show."""
    return "n2", ()


def hashed(name: str) -> Choice:
    """By the hash of the application's cookie."""

    def choose(cookies, turn):
        key = cookies.get(name)
        return NODES[sha256(key.encode()).digest()[0] % 3 if key else turn % 3], ()

    return choose


def tiers(cookies, turn):
    """Two balancers, one behind the other: three nodes of pairs, reached by both cookies only."""
    both = [cookies.get("outer"), cookies.get("inner")]
    if both[0] and both[0] == both[1] and both[0] in NODES:
        return both[0], ()
    node = NODES[turn % 3]
    return node, (ParsedSetCookie("outer", node), ParsedSetCookie("inner", node))


def uneven_tiers(cookies, turn):
    """Two tiers: one node is alone behind its group, the other two share a group and have a cookie each."""
    groups = {"a": ("n1",), "b": ("n2", "n3")}
    group = cookies.get("TIER") if cookies.get("TIER") in groups else "ab"[turn % 2]
    node = cookies.get("SRV") if cookies.get("SRV") in groups[group] else groups[group][turn // 2 % len(groups[group])]
    handed = {"SRV": node, "TIER": group}
    return node, tuple(ParsedSetCookie(name, value) for name, value in handed.items() if cookies.get(name) != value)


@define
class ModelSite:
    """One site.

    :ivar session: the application's cookie; empty: none.
    :ivar companions: whether ``whoami`` is answered.
    :ivar given_at: where the balancer's cookies are handed out.
    :ivar change: what becomes of an answer on its way.
    """

    choose: Choice
    session: str = "sid"
    companions: bool = True
    secret: bool = True
    known: tuple[str, ...] = ()
    configured: tuple[str, ...] = ()
    path: str = "/shop/page"
    given_at: tuple[RequestKind, ...] = tuple(RequestKind)
    change: Callable[[ProbeResponse, int], ProbeResponse] = field(default=lambda response, turn: response)
    dead: bool = False

    def probe(self) -> Observations:
        """All that the doctor asks of it."""
        turns = count()
        seen = Observations("https://www.example.com", self.path, secret_known=self.secret, known_nodes=self.known)
        while (series := next_series(seen, self.configured, ("k1", "k2", "k3"))) is not None:
            responses = tuple(self._answer(series.kind, series.cookies, next(turns)) for _ in range(series.count))
            if series.mode is None:
                seen = evolve(seen, without_cookie=(*seen.without_cookie, *responses))
            else:
                replay = Replay(series.source, tuple(series.cookies), series.mode, responses)
                seen = evolve(seen, replays=(*seen.replays, replay))
            seen = evolve(seen, request_count=seen.request_count + series.count)
            assert seen.request_count <= 80, series
        return seen

    def _answer(self, kind: RequestKind, cookies: Mapping[str, str], turn: int) -> ProbeResponse:
        if self.dead:
            return ProbeResponse(kind, failure="refused")
        node, set_cookies = self.choose(cookies, turn)
        set_cookies = set_cookies if kind in self.given_at else ()
        whoami = self.companions and kind is RequestKind.WHOAMI
        by_companion = self.companions and kind in (RequestKind.WHOAMI, RequestKind.POST)
        if self.session and not by_companion and self.session not in cookies:
            set_cookies = (*set_cookies, ParsedSetCookie(self.session, f"secret{turn:032x}", http_only=True))
        response = ProbeResponse(
            kind,
            status=200,
            node=node if whoami else "",
            proven=whoami and self.secret,
            proof=f"proof{turn}" if whoami else "",
            set_cookies=set_cookies,
            headers=(("date", str(turn)), ("x-runtime", f"0.00{turn % 3}")),
            body=f"random {turn}",
        )
        return self.change(response, turn)


def codes(diagnosis) -> set[str]:
    return {one.code for one in diagnosis.findings}


def configuration(diagnosis) -> dict:
    told = advice(diagnosis, "https://www.example.com", "tcp:10.0.0.5:443")
    site = tomllib.loads(told.crawler)["sites"]["main"]
    sticky = tomllib.loads(told.node)["sticky"]
    assert (site["dialect"], site["cookies"]) == (sticky["dialect"], sticky["cookies"])
    assert (site["origin"], site["connect"]) == ("https://www.example.com", "tcp:10.0.0.5:443")
    return site
