"""Balancers in memory with other ways than :class:`tests.support.simulated_farm.SimulatedBalancer` has."""

from __future__ import annotations

from random import Random
from zlib import crc32

from twisted.web.server import Request

from lbcompanion.sticky.cookies import parse
from tests.support.simulated_farm import Node, SimulatedBalancer


class DrainingBalancer(SimulatedBalancer):
    """Inserts a cookie that ends after a minute, without making it anew meanwhile; a node may drain."""

    draining = ""
    seconds = 60
    generation = 1

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        name, _, generation = cookies.get("SRV", "").partition("/")
        wanted = self.nodes.get(name)
        if wanted is not None and wanted.up and generation == str(self.generation):
            return wanted
        up = [node for node in self.nodes.values() if node.up and node.name != self.draining]
        self._turn += 1
        node = up[self._turn % len(up)]
        line = f"SRV={node.name}/{self.generation}; path=/; Max-Age={self.seconds}"
        request.responseHeaders.addRawHeader(b"set-cookie", line.encode())
        return node


class TwoTierBalancer(SimulatedBalancer):
    """Two tiers with a cookie each: ``EDGE`` chooses a group of nodes, ``SRV`` a node of it.

    A tier whose cookie was not sent sets one, and chooses at random; here it always chooses its first.
    """

    tiers = (("EDGE", ("left", "right")), ("SRV", ("one", "two")))

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        chosen: list[str] = []
        for name, values in self.tiers:
            chosen.append(cookies[name] if cookies.get(name) in values else values[0])
            if cookies.get(name) not in values:
                request.responseHeaders.addRawHeader(b"set-cookie", f"{name}={chosen[-1]}; path=/".encode())
        return self.nodes["-".join(chosen)]


class RotatingBalancer(SimulatedBalancer):
    """Writes its cookie anew on every answer, and takes the last two only."""

    def __init__(self, nodes: list[Node], kind: str = "insert") -> None:
        super().__init__(nodes, kind)
        self.issued: dict[str, list[str]] = {name: [] for name in self.nodes}
        self.count = 0

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        cookie = cookies.get("SRV", "")
        node = next((self.nodes[name] for name, values in self.issued.items() if cookie in values[-2:]), None)
        if node is None or not node.up:
            node = self._next()
        if node is not None:
            self.count += 1
            self.issued[node.name].append(f"sealed{self.count}")
            request.responseHeaders.addRawHeader(b"set-cookie", f"SRV=sealed{self.count}; path=/".encode())
        return node


class HashingBalancer(SimulatedBalancer):
    """The hash of a cookie decides; without one, nodes take turns."""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        up = [node for node in self.nodes.values() if node.up]
        if not cookies.get("SRV"):
            return self._next()
        return up[crc32(cookies["SRV"].encode()) % len(up)]


class LearningBalancer(SimulatedBalancer):
    """Remembers what the application hands out, and nothing else."""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        node = self.nodes.get(self.table.get(cookies.get("sess", ""), "")) or self._next()
        if node is not None and request.path == b"/":
            secret = f"session{len(self.table)}"
            self.table[secret] = node.name
            request.responseHeaders.addRawHeader(b"set-cookie", f"sess={secret}; path=/; HttpOnly".encode())
            request.responseHeaders.addRawHeader(b"set-cookie", b"lang=en; path=/")
        return node


class SuffixingBalancer(SimulatedBalancer):
    """Looks at the route behind the dot of the application's session cookie."""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        node = self.nodes.get(cookies.get("JSESSIONID", "").partition(".")[2])
        if node is None or not node.up:
            node = self._next()
        if node is not None and request.path == b"/":
            line = f"JSESSIONID=0123456789ABCDEF.{node.name}; path=/; HttpOnly"
            request.responseHeaders.addRawHeader(b"set-cookie", line.encode())
        return node


class RoundRobinBalancer(SimulatedBalancer):
    """Sticks by nothing; the application has a session all the same."""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        if request.path == b"/":
            request.responseHeaders.addRawHeader(b"set-cookie", b"sess=0123456789abcdef; path=/; HttpOnly")
        return self._next()


class SourceBalancer(SimulatedBalancer):
    """``balance source`` with ``cookie SRV insert``: newcomers from the crawler's address all get the first node."""

    def _next(self) -> Node | None:
        return next((node for node in self.nodes.values() if self._gets_requests(node)), None)


class CheckingBalancer(SimulatedBalancer):
    """A request without the cookie gets a redirect to the same address, which sets the cookie."""

    def render(self, request: Request) -> bytes | int:
        cookies = parse((request.getHeader(b"cookie") or b"").decode())
        wanted = self.nodes.get(cookies.get("SRV", ""))
        if self._gets_requests(wanted):
            return super().render(request)
        self.asked.append(dict(cookies))
        node = self._next()
        if node is None:
            request.setResponseCode(503)
            return b""
        request.setResponseCode(302)
        request.setHeader(b"location", request.uri)
        request.responseHeaders.addRawHeader(b"set-cookie", f"SRV={node.name}; path=/".encode())
        return b""


class ContextBalancer(SimulatedBalancer):
    """Tomcat with an application below a context path: there is no session at the first page."""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        node = self.nodes.get(cookies.get("JSESSIONID", "").partition(".tc-")[2])
        if node is None or not node.up:
            node = self._next()
            if node is not None and request.path.startswith(b"/shop/"):
                line = f"JSESSIONID=0123456789ABCDEF0123456789ABCDEF.tc-{node.name}; Path=/shop; HttpOnly"
                request.responseHeaders.addRawHeader(b"set-cookie", line.encode())
        return node


class PostOnlyBalancer(SimulatedBalancer):
    """Inserts its cookie into answers to POST only."""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        if request.method == b"POST":
            return super()._insert(request, cookies)
        wanted = self.nodes.get(cookies.get("SRV", ""))
        return wanted if wanted is not None and wanted.up else self._next()


class NoisyTiersBalancer(SimulatedBalancer):
    """Tiers with a cookie each; a tier whose cookie was not sent sets one and chooses at random.

    The name of a node is the choice of each tier, joined by ``-``.

    :ivar tiers: name of the cookie and number of choices, of each tier.
    :ivar noise: returns a further ``Set-Cookie`` for a reply, as a firewall or a content delivery network sets it;
        empty for none.
    """

    tiers: tuple[tuple[str, int], ...] = (("SRV", 2),)
    random = Random(0)

    @staticmethod
    def noise(_cookies: dict[str, str]) -> str:
        return ""

    def _insert(self, request: Request, cookies: dict[str, str]) -> Node | None:
        chosen = []
        for name, count in self.tiers:
            value = cookies.get(name, "")
            if value not in map(str, range(count)):
                value = str(self.random.randrange(count))
                request.responseHeaders.addRawHeader(b"set-cookie", f"{name}={value}; path=/".encode())
            chosen.append(value)
        if line := self.noise(cookies):
            request.responseHeaders.addRawHeader(b"set-cookie", line.encode())
        return self.nodes["-".join(chosen)]
