"""The files that ``lbcompanion init`` writes: a configuration for each node, one for the crawler, and a secret."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from pathlib import Path

from attrs import evolve, frozen

SECRET_NAME = "farm.secret"
CRAWLER_NAME = "crawler.toml"
#: The folder of everything that the services of the systemd units write.
SERVICE_STATE = "/var/lib/lbcompanion"

_NODE = """\
# The companion beside node {name}. Start it with: lbcompanion node --config {name}.toml
# What is not set here keeps its default; the manual's page "Configuration" lists every key.

[node]
name = "{name}"

# Where the balancer, or the server in front of this node, finds the companion.
listen = ["{listen}"]

# The application itself.
upstream = "{upstream}"

# The same file on every node and on the crawler. Anybody who has it may fetch copies: keep it secret.
secret_file = "{secret}"

# Where notices wait while the crawler cannot be reached.
state_dir = "{state}"

# Health, readiness and metrics: /healthz /readyz /metrics. Not for visitors.
admin = "{admin}"

# The site as its visitors' browsers name it.
public_origin = "{origin}"

# Whose X-Forwarded-For and X-Forwarded-Proto are trusted: your balancer's addresses.
trusted_proxies = {trusted}

[capture]
# Which pages are captured. By default, all HTML pages.
include = ["/**"]
exclude = []

[store]
# Copies in memory; sqlite:///pages.db keeps them in a file, over a restart.
url = "memory:"
# A copy that was not fetched is removed after this time.
max_seconds = 600

[sticky]
# How the balancer does sticky sessions. "auto" recognises common balancers by their cookies. For another balancer,
# name its cookie: dialect = "generic" and cookies = ["MYCOOKIE"].
dialect = "{dialect}"
cookies = {cookies}

[peers]
# The other nodes' companions, at addresses that this node can reach. Misrouted fetches are forwarded to them, and
# copies in memory are handed over to them when this node stops.
{peers}
[crawler]
# Where the crawler receives notices: the address of [crawler] listen in its own file.
intake = "{intake}"
"""

_CRAWLER = """\
# The crawler. Start it with: lbcompanion crawler --config {file}
# What is not set here keeps its default; the manual's page "Configuration" lists every key.

[crawler]
# Where the nodes' companions send their notices. They must be able to reach this address.
listen = "{listen}"

# The dashboard, and /api, /metrics, /healthz. Not for visitors.
admin = "tcp:9201:interface=127.0.0.1"

# The same file as on the nodes.
secret_file = "{secret}"

# The queue of recordings, which survives a restart of the crawler.
state_dir = "{state}"
queue = "sqlite:///{queue}"

# The WARC files.
archive_dir = "{archive}"

# How long a recording is retried before it is lost.
give_up_after_seconds = 900

[sites.main]
# The site as its visitors' browsers name it; fetches go there, through the balancer.
origin = "{origin}"

# The balancer's address, if DNS does not lead to it: for example "tcp:10.0.0.5:80".
connect = ""

# The same as on the nodes.
dialect = "{dialect}"
cookies = {cookies}
{nodes}"""

_KNOWN_NODE = """
[sites.main.nodes.{name}]
# The node's own address, for fetches without the balancer: for example "http://10.0.0.1:8080".
direct = "{direct}"
"""


@frozen
class Address:
    """A host and a port; the host is a name or an IP address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def endpoint(self) -> str:
        """The address as a client endpoint string of Twisted."""
        return f"tcp:{_escaped(self.host)}:{self.port}"


@frozen
class StarterNode:
    """One node.

    :ivar address: where the balancer, the other nodes and the crawler find its companion; None if that is unknown.
    :ivar upstream: where its companion finds the application.
    :ivar listen: where its companion listens; an empty host means all addresses.
    :ivar admin_port: of its companion's admin listener.
    """

    name: str
    address: Address | None
    upstream: Address
    listen: Address
    admin_port: int = 9101


@frozen
class Starter:
    """The description of a farm from which ``init`` writes its files.

    :ivar crawler: where the nodes send their notices.
    :ivar balancers: the balancer's addresses, from which the nodes take forwarding headers.
    :ivar dialect: of the balancer's cookie.
    :ivar cookies: the names of that cookie.
    :ivar as_service: whether the files are for the systemd units.
    """

    nodes: Sequence[StarterNode]
    origin: str
    crawler: Address = Address("127.0.0.1", 9200)
    balancers: Sequence[str] = ()
    dialect: str = "auto"
    cookies: Sequence[str] = ()
    as_service: bool = False


def with_admin_ports(nodes: Sequence[StarterNode]) -> list[StarterNode]:
    """Give the nodes of one machine different admin ports."""
    seen: Counter[str] = Counter()
    numbered = []
    for node in nodes:
        host = node.address.host if node.address is not None else node.name
        numbered.append(evolve(node, admin_port=node.admin_port + seen[host]))
        seen[host] += 1
    return numbered


def starter_files(starter: Starter, secret: str) -> dict[str, str]:
    """Return the files of a starter configuration: file name to content.

    :param secret: the farm's secret as text.
    """
    files = {SECRET_NAME: secret + "\n"}
    for node in starter.nodes:
        files[f"{node.name}.toml"] = _node_file(starter, node)
    files[CRAWLER_NAME] = _crawler_file(starter)
    return files


def _node_file(starter: Starter, node: StarterNode) -> str:
    others = [other for other in starter.nodes if other is not node]
    peers = "".join(
        f'# {other.name} = "http://{other.name}.internal:8080"\n'
        if other.address is None
        else f'{other.name} = "http://{other.address}"\n'
        for other in others
    )
    return _NODE.format(
        name=node.name,
        listen=_listener(node.listen),
        upstream=node.upstream.endpoint,
        secret=SECRET_NAME,
        state=f"{SERVICE_STATE}/{node.name}" if starter.as_service else f"state-{node.name}",
        admin=_listener(Address(_admin_host(starter, node), node.admin_port)),
        origin=starter.origin,
        trusted=_list(["127.0.0.0/8", "::1/128", *starter.balancers]),
        dialect=starter.dialect,
        cookies=_list(starter.cookies),
        peers=peers,
        intake=f"http://{starter.crawler}",
    )


def _admin_host(starter: Starter, node: StarterNode) -> str:
    """A balancer on another machine checks ``/readyz``: it has to reach the admin listener."""
    if starter.balancers and node.address is not None and _is_address(node.address.host):
        return node.address.host
    return "127.0.0.1"


def _crawler_file(starter: Starter) -> str:
    state = f"{SERVICE_STATE}/crawler" if starter.as_service else "state-crawler"
    host = starter.crawler.host
    return _CRAWLER.format(
        file=CRAWLER_NAME,
        listen=_listener(Address(host if _is_address(host) else "", starter.crawler.port)),
        secret=SECRET_NAME,
        state=state,
        queue=f"{SERVICE_STATE}/crawler/crawler.db" if starter.as_service else "crawler.db",
        archive=f"{SERVICE_STATE}/archive" if starter.as_service else "archive",
        origin=starter.origin,
        dialect=starter.dialect,
        cookies=_list(starter.cookies),
        nodes="".join(
            _KNOWN_NODE.format(name=node.name, direct="" if node.address is None else f"http://{node.address}")
            for node in starter.nodes
        ),
    )


def _listener(address: Address) -> str:
    """Return the endpoint string of a listener."""
    return f"tcp:{address.port}" + (f":interface={_escaped(address.host)}" if address.host else "")


def _escaped(host: str) -> str:
    """A colon ends an argument of an endpoint string; TOML needs the backslash twice."""
    return host.replace(":", r"\\:")


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _list(texts: Sequence[str]) -> str:
    return json.dumps(list(texts))


def write_new(folder: Path, files: Mapping[str, str]) -> list[Path]:
    """Write new files. Only the owner may read the file with the secret.

    :raises FileExistsError: if one of the files exists already; then no file is written.
    :raises OSError: if the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        if os.path.lexists(folder / name):
            raise FileExistsError(str(folder / name))
    for name, content in files.items():
        mode = 0o600 if name == SECRET_NAME else 0o644
        with os.fdopen(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "w") as file:
            file.write(content)
    return [folder / name for name in files]
