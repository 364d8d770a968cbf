"""A farm behind a HAProxy that ends TLS; the listener of one companion is in TLS too."""

from __future__ import annotations

import http.client
import json
import re
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urljoin, urlsplit

from attrs import define, frozen

from lbcompanion.demo import haproxy
from lbcompanion.demo.backends import Backend
from tests.support.farm import ProcessFarm
from tests.support.pems import CertificateAuthority
from tests.support.programs import need_program

#: The node whose companion has a certificate of its own.
IN_TLS = "n3"
_TAG = re.compile(rb'<script async src="([^"]+)" data-lbc-token="([^"]+)" data-lbc-fetch-from="([^"]+)"')


@define
class TlsFarm(ProcessFarm):
    """:ivar edge: the port of the balancer's TLS listener."""

    edge: int = 0

    @property
    def origin(self) -> str:
        """The site's origin, as visitors know it."""
        return f"https://127.0.0.1:{self.edge}"

    def prepare(self) -> None:
        """Make the certificates."""
        authority = CertificateAuthority("visitors and crawler trust it")
        (self.folder / "roots.pem").write_bytes(authority.pem)
        for stem in ("edge", "node"):
            certificate, key = authority.write(self.folder, stem, "127.0.0.1")
            (self.folder / f"{stem}-both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        self.edge = self.ports.take()

    def _node_config(self, name: str) -> str:
        text = super()._node_config(name)
        if name != IN_TLS:
            return text
        port = self.public[name]
        listen = f"ssl:{port}:interface=127.0.0.1:privateKey=node.key:certKey=node.pem"
        return text.replace(f"tcp:{port}:interface=127.0.0.1", listen)

    def crawler_config(self, intake: int, api: int) -> str:
        """The crawler reaches the site as visitors do, by TLS."""
        text = super().crawler_config(intake, api)
        text = re.sub(r"(?m)^origin = .*$", f'origin = "{self.origin}"', text)
        return re.sub(r"(?m)^connect = .*$", 'ca_file = "roots.pem"', text)


def tls_edge(
    edge: Sequence[int], folder: Path, port: int, nodes: Mapping[str, int], admins: Mapping[str, int]
) -> Sequence[str]:
    """The command of a HAProxy with a plain listener, and one in TLS at the port that ``edge`` has."""
    program = need_program("haproxy")
    backends = [Backend(name, f"127.0.0.1:{nodes[name]}", f"127.0.0.1:{admins[name]}") for name in nodes]
    text = haproxy.configuration(port, backends, "SRV", "insert indirect nocache httponly secure")
    text = text.replace(
        f"    bind 127.0.0.1:{port}\n",
        f"    bind 127.0.0.1:{port}\n    bind 127.0.0.1:{edge[0]} ssl crt {folder}/edge-both.pem\n",
    )
    text = text.replace(
        "X-Forwarded-Proto http\n",
        "X-Forwarded-Proto http\n    http-request set-header X-Forwarded-Proto https if { ssl_fc }\n",
    )
    text = re.sub(
        rf"(?m)^(    server {IN_TLS} .*)$", rf"\1 no-check-ssl ssl verify required ca-file {folder}/roots.pem", text
    )
    config = folder / "haproxy.cfg"
    config.write_text(text)
    return haproxy.command(program, config)


@frozen
class SecureView:
    """One page view, and what the visitor saw of it."""

    token: str
    url: str
    fetch_url: str
    script_url: str
    set_cookies: tuple[str, ...]


class SecureVisitor:
    """A visitor by TLS who keeps the balancer's cookie, loads the script and posts the notice."""

    def __init__(self, farm: TlsFarm) -> None:
        self._farm = farm
        self._context = ssl.create_default_context(cafile=str(farm.folder / "roots.pem"))
        self._cookies: dict[str, str] = {}

    def ask(
        self, method: str, url: str, body: bytes | None = None, **fields: str
    ) -> tuple[int, bytes, tuple[str, ...]]:
        """One request, on a connection of its own."""
        line = http.client.HTTPSConnection("127.0.0.1", self._farm.edge, timeout=60, context=self._context)
        headers = {name.replace("_", "-"): value for name, value in fields.items()}
        if self._cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
        try:
            parts = urlsplit(url)
            line.request(method, parts.path + (f"?{parts.query}" if parts.query else ""), body, headers)
            answer = line.getresponse()
            received = answer.read()
        finally:
            line.close()
        set_cookies = tuple(answer.headers.get_all("Set-Cookie", []))
        for each in set_cookies:
            name, _, value = each.partition(";")[0].partition("=")
            self._cookies[name] = value
        return answer.status, received, set_cookies

    def view(self, path: str) -> SecureView:
        """View a page, load its script, post its notice."""
        url = f"{self._farm.origin}{path}"
        status, page, set_cookies = self.ask("GET", url)
        found = _TAG.search(page)
        assert status == 200
        assert found is not None, page[:500]
        script, token, fetch_url = urljoin(url, found[1].decode()), found[2].decode(), found[3].decode()
        assert self.ask("GET", script)[0] == 200
        now = datetime.now(UTC).isoformat().replace("+00:00", "Z")
        notice = json.dumps({"token": token, "url": url, "cookies": {}, "viewed_at": now}).encode()
        origin = {"Origin": self._farm.origin, "Sec_Fetch_Site": "same-origin"}
        assert self.ask("POST", urljoin(script, "notice"), notice, **origin)[0] == 204
        return SecureView(token, url, fetch_url, script, set_cookies)
