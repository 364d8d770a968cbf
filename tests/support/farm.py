"""A farm of real processes on free ports: applications, a companion beside each, a balancer, a crawler."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any

from attrs import Factory, define, frozen
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.demo.ports import ReservedPorts
from lbcompanion.protocol.secrets import FarmSecret
from lbcompanion.protocol.tokens import Tokens
from tests.support import served_pages
from tests.support.balancers import Balancer
from tests.support.children import Child, Children, wait_for
from tests.support.visitor import View
from tests.support.wiretap import Wiretap

SECRET = b"the farm's secret of these tests, long enough"
NODES = ("n1", "n2", "n3")


@frozen
class StickySettings:
    """The ``[sticky]`` settings of companions and crawler."""

    cookies: tuple[str, ...] = ()
    dialect: str = "auto"
    allow: tuple[str, ...] = ()
    part: str = "whole"
    replay_safe: bool = False

    def toml(self) -> str:
        """The keys of a node's ``[sticky]``, and of a crawler's site."""
        return (
            f'dialect = "{self.dialect}"\ncookies = {json.dumps(self.cookies)}\n'
            f"allow_credentials = {json.dumps(self.allow)}\n"
            f"part = {json.dumps(self.part)}\nreplay_safe = {json.dumps(self.replay_safe)}\n"
        )


@frozen
class Applications:
    """Running applications: their ports by node, and the folder in which they write down what they make."""

    ports: Mapping[str, int]
    ledger: Path


def plain_applications(
    children: Children, ports: ReservedPorts, folder: Path, module: str = "tests.support.plain_site"
) -> Applications:
    """The small application, once for each node."""
    served_page = Applications({name: ports.take() for name in NODES}, folder / "ledger")
    served_page.ledger.mkdir()
    for name, port in served_page.ports.items():
        environment = {"LBC_TEST_NODE": name, "LBC_TEST_LEDGER": str(served_page.ledger)}
        children.module(f"application-{name}", module, str(port), **environment)
    for name, port in served_page.ports.items():
        wait_for(f"application {name}", lambda port=port: listens(port, "/style.css"), 60)
    return served_page


@define
class ProcessFarm:
    """All of it.

    :param folder: gets configurations, state, archive and logs.
    :param store: ``[store] url`` of the nodes, ``NAME`` in it filled in.
    :param store_lines: what stands below it.
    :param peers: whether nodes know each other's address.
    :param workers: how many processes each node is.
    :param plugins: a folder with drop-ins that companions and crawler find.
    :param crawler_lines: further lines of the crawler's ``[crawler]``.
    :param more_intakes: ports of further crawlers, which nodes deliver to when the first fails.
    :param site_lines: further lines of the crawler's configuration, by the companions' public ports.
    """

    folder: Path
    children: Children
    ports: ReservedPorts
    applications: Applications
    balancer: Balancer
    sticky: StickySettings
    give_up_seconds: int = 30
    store: str = "memory:"
    store_lines: str = ""
    peers: bool = False
    workers: int = 1
    secret_file: str = "farm.secret"
    accept_secret_files: tuple[str, ...] = ()
    plugins: Path | None = None
    public: dict[str, int] = Factory(dict)
    admin: dict[str, int] = Factory(dict)
    taps: dict[str, Wiretap] = Factory(dict)
    crawler_lines: str = ""
    more_intakes: tuple[int, ...] = ()
    site_lines: Callable[[Mapping[str, int]], str] = lambda public: ""
    site: int = 0
    api: int = 0
    balanced: int = 0
    intake: int = 0

    def start(self) -> None:
        """Start it, and wait until all is ready. Three taps listen in: on visitors, on notices, on the crawler."""
        (self.folder / "farm.secret").write_bytes(SECRET + b"\n")
        self.public = {name: self.ports.take() for name in self.applications.ports}
        self.admin = {name: self.ports.take() for name in self.applications.ports}
        balancer, intake, self.api = self.ports.take(), self.ports.take(), self.ports.take()
        self.balanced = balancer
        self.taps = {"visitors": Wiretap(balancer), "notices": Wiretap(intake), "crawler": Wiretap(balancer)}
        self.site = self.taps["visitors"].port
        for name in self.applications.ports:
            self.start_companion(name)
        self.intake = intake
        self.start_crawler()
        for name in self.applications.ports:
            self.wait_ready(name)
        wait_for("crawler", lambda: listens(self.api, "/healthz"), 60, self.children["crawler"])
        self.start_balancer()

    def start_crawler(self) -> None:
        """Start the balancer with the nodes' present addresses."""
        (self.folder / "crawler.toml").write_text(self.crawler_config(self.intake, self.api))
        self.children.lbcompanion(
            "crawler", "crawler", "--config", str(self.folder / "crawler.toml"), plugins=self.plugins
        )

    def start_balancer(self) -> None:
        """Start it, for the nodes as they are now."""
        command = self.balancer(self.folder, self.balanced, self.public, self.admin)
        running = self.children.start("balancer", command)
        wait_for("balancer", lambda: listens(self.balanced, "/_lbc/whoami", (200, 302)), 60, running)

    def stop_balancer(self) -> None:
        """Kill it, and wait until its port is free: a worker process may hold the port longer than its master lives."""
        self.children["balancer"].kill()
        self.children["balancer"].ended()
        wait_for("the balancer's port", lambda: not accepts(self.balanced))

    def start_companion(self, name: str) -> Child:
        """Start it with the ports that it has now."""
        (self.folder / f"{name}.toml").write_text(self._node_config(name))
        command = "node", "--config", str(self.folder / f"{name}.toml")
        return self.children.lbcompanion(f"companion-{name}", *command, plugins=self.plugins)

    def wait_ready(self, name: str) -> None:
        child = self.children[f"companion-{name}"]
        wait_for(f"companion {name}", lambda: listens(self.admin[name], "/readyz"), 60, child)

    def stop(self) -> None:
        """End what this farm started (with all that runs beside it) and close the taps."""
        try:
            self.children.kill()
        finally:
            for tap in self.taps.values():
                tap.close()

    def _node_config(self, name: str) -> str:
        others = {other: f"http://127.0.0.1:{port}" for other, port in self.public.items() if other != name}
        peers = "".join(f'{other} = "{url}"\n' for other, url in others.items()) if self.peers else ""
        intakes = [f"http://127.0.0.1:{port}" for port in (self.taps["notices"].port, *self.more_intakes)]
        return f"""[node]
name = "{name}"
listen = ["{_listen(self.public[name])}"]
upstream = "tcp:127.0.0.1:{self.applications.ports[name]}"
{self._secret_lines()}state_dir = "state-{name}"
admin = "{_listen(self.admin[name])}"
workers = {self.workers}
[store]
url = "{self.store.replace("NAME", name)}"
{self.store_lines}[sticky]
{self.sticky.toml()}[peers]
{peers}[crawler]
intake = {json.dumps(intakes if self.more_intakes else intakes[0])}
"""

    def crawler_config(self, intake: int, api: int) -> str:
        """The configuration of a crawler at these ports."""
        return f"""[crawler]
listen = "{_listen(intake)}"
admin = "{_listen(api)}"
{self.crawler_lines}{self._secret_lines()}state_dir = "state-crawler"
archive_dir = "archive"
give_up_after_seconds = {self.give_up_seconds}
[sites.main]
origin = "http://127.0.0.1:{self.site}"
connect = "tcp:127.0.0.1:{self.taps["crawler"].port}"
{self.sticky.toml()}{self.site_lines(self.public)}"""

    def _secret_lines(self) -> str:
        # A version that knows one secret only would refuse the other key.
        accepted = f"accept_secret_files = {json.dumps(self.accept_secret_files)}\n" if self.accept_secret_files else ""
        return f'secret_file = "{self.secret_file}"\n{accepted}'

    @property
    def central(self) -> bool:
        """Whether all nodes keep their copies in one place."""
        return self.store != "memory:" and "NAME" not in self.store

    # What is known of it, from outside.

    def whoami(self, cookies: Mapping[str, str] | None = None, address: str = "127.0.0.1") -> str:
        """Which node the balancer sends a request with these cookies, from this address, to; empty: none."""
        line = "; ".join(f"{name}={value}" for name, value in (cookies or {}).items())
        try:
            status, body = fetched(self.balanced, "/_lbc/whoami", {"Cookie": line} if line else {}, address)
        except (OSError, http.client.HTTPException):
            return ""
        return str(json.loads(body)["node"]) if status == 200 else ""

    def owner(self, token: str) -> str:
        files = self.secret_file, *self.accept_secret_files, "farm.secret"
        secrets = [(self.folder / file).read_bytes().strip() for file in files]
        return Tokens(FarmSecret(secrets[0], secrets[1:])).owner_of(token)

    def served_page(self, view: View) -> served_pages.ServedPage:
        """Return the page as the application served it."""
        return served_pages.served_page(self.applications.ledger, view.page_id)

    def recordings(self) -> dict[str, dict[str, Any]]:
        """All recordings by token; a token has one."""
        _, body = fetched(self.api, "/api/recordings?limit=1000")
        page = json.loads(body)
        assert page["next"] is None
        found = {recording["token"]: recording for recording in page["recordings"]}
        assert len(found) == len(page["recordings"])
        return found

    def finished(self, tokens: Collection[str], seconds: float = 60.0) -> dict[str, dict[str, Any]]:
        """All recordings, once those of these tokens have their outcome."""

        def look() -> dict[str, dict[str, Any]] | None:
            found = self.recordings()
            return found if all(found.get(token, {}).get("outcome") for token in tokens) else None

        try:
            return wait_for("outcomes", look, seconds, pause=0.1)
        except AssertionError as failure:
            found = self.recordings()
            open_ = {token[-4:]: found.get(token) for token in tokens if not found.get(token, {}).get("outcome")}
            raise AssertionError(f"{failure}; without one: {json.dumps(open_, indent=1)}") from None

    def archived(self, token: str) -> bytes:
        """The bytes that the crawler's API gives."""
        status, body = fetched(self.api, f"/api/recordings/{token}/page")
        assert status == 200
        return body

    def wait_stored(self, name: str) -> None:
        """Wait until a node's store has all that it captured."""

        def look() -> bool:
            return b"\nlbcompanion_node_pages_pending 0.0\n" in fetched(self.admin[name], "/metrics")[1]

        wait_for(f"{name} has kept its pages", look)

    def records(self, content_type: str) -> list[tuple[str, int, str]]:
        """URL, status and SHA-256 of every ``response`` record of a type in the archive, as a public tool reads it."""
        found = []
        for file in sorted((self.folder / "archive").glob("*.warc.gz")):
            with file.open("rb") as stream:
                for record in ArchiveIterator(stream, check_digests="raise"):
                    digest = sha256(record.content_stream().read()).hexdigest()
                    if record.rec_type != "response":
                        continue
                    if record.http_headers.get_header("Content-Type").startswith(content_type):
                        url = record.rec_headers.get_header("WARC-Target-URI")
                        found.append((url, int(record.http_headers.get_statuscode()), digest))
        return found

    def stored_bodies(self) -> Iterator[tuple[str, bytes]]:
        """Everything that companions, balancer and crawler wrote: state, databases, logs, archive (unpacked too); but
        for Varnish's memory, which holds every request that it passed on."""
        apart = {self.applications.ledger, self.folder / "varnish"}
        for file in sorted(self.folder.rglob("*")):
            if file.is_file() and apart.isdisjoint(file.parents):
                name, body = str(file.relative_to(self.folder)), file.read_bytes()
                yield name, body
                if name.endswith(".gz"):
                    yield f"{name}, unpacked", gzip.decompress(body)

    def check_archived(self, views: Sequence[View], found: Mapping[str, Mapping[str, Any]]) -> None:
        """Each of these pages is archived, once, byte for byte as its application made it, from that node (where
        nodes know each other or have one store, another one may have handed it over)."""
        assert len({view.token for view in views}) == len(views)
        for view in views:
            served_page, page = self.served_page(view), found[view.token]
            assert view.body == served_page.body, f"{view.url}: differs by more than the tag"
            assert (page["outcome"], page["reason"]) == ("archived", None), page
            assert self.archived(view.token) == served_page.body, f"{view.url}: archived otherwise"
            assert (page["sha256"], page["bytes"]) == (sha256(served_page.body).hexdigest(), len(served_page.body))
            assert page["origin_node"] == self.owner(view.token) == served_page.node, page
            assert page["answered_by"] == served_page.node or self.peers or self.central, page
            assert page["url"] == view.url
            assert (served_page.method, served_page.status) == (view.method, view.status)

    def check_secrecy(self, secrets: Collection[str], tokens: Collection[str] = ()) -> None:
        """Check that companions and crawler wrote and sent none of these texts, and logged no whole token."""
        assert secrets
        for name, body in self.stored_bodies():
            assert [text for text in secrets if text.encode() in body] == [], name
            if name.startswith(("companion", "crawler.log")):
                assert [text for text in tokens if text.encode() in body] == [], name
        for tap in ("notices", "crawler"):
            recorded = b"\n".join(self.taps[tap].heard())
            assert recorded
            assert [text for text in secrets if text.encode() in recorded] == [], tap


def fetched(
    port: int, path: str, headers: Mapping[str, str] = MappingProxyType({}), address: str = "127.0.0.1"
) -> tuple[int, bytes]:
    """A GET: status and body."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60, source_address=(address, 0))
    try:
        connection.request("GET", path, headers=dict(headers))
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def listens(port: int, path: str, statuses: Collection[int] = (200,)) -> bool:
    """Whether a GET is answered by 200, or one of these."""
    try:
        return fetched(port, path)[0] in statuses
    except (OSError, http.client.HTTPException):
        time.sleep(0.05)
        return False


def accepts(port: int) -> bool:
    """Whether a port takes connections."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=60).close()
    except ConnectionRefusedError:
        return False
    except ConnectionError:  # its process ended meanwhile
        return True
    return True


def _listen(port: int) -> str:
    return f"tcp:{port}:interface=127.0.0.1"
