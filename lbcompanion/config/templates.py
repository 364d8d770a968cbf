"""The files that ``lbcompanion init`` writes: a configuration for each node, one for the crawler, and a secret."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

SECRET_NAME = "farm.secret"
CRAWLER_NAME = "crawler.toml"

_NODE = """\
# The companion beside node {name}. Start it with: lbcompanion node --config {name}.toml
# What is not set here keeps its default; the manual's page "Configuration" lists every key.

[node]
name = "{name}"

# Where the balancer, or the server in front of this node, finds the companion.
listen = ["tcp:8080"]

# The application itself.
upstream = "tcp:127.0.0.1:8000"

# The same file on every node and on the crawler. Anybody who has it may fetch copies: keep it secret.
secret_file = "{secret}"

# Where notices wait while the crawler cannot be reached.
state_dir = "state-{name}"

# Health, readiness and metrics: /healthz /readyz /metrics. Not for visitors.
admin = "tcp:9101:interface=127.0.0.1"

# The site as its visitors' browsers name it.
public_origin = "{origin}"

# Whose X-Forwarded-For and X-Forwarded-Proto are trusted: your balancer's addresses.
trusted_proxies = ["127.0.0.0/8", "::1/128"]

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
dialect = "auto"
cookies = []

[peers]
# The other nodes' companions, at addresses that this node can reach. Misrouted fetches are forwarded to them, and
# copies in memory are handed over to them when this node stops.
{peers}
[crawler]
# Where the crawler receives notices: the address of [crawler] listen in its own file.
intake = "http://127.0.0.1:9200"
"""

_CRAWLER = """\
# The crawler. Start it with: lbcompanion crawler --config {file}
# What is not set here keeps its default; the manual's page "Configuration" lists every key.

[crawler]
# Where the nodes' companions send their notices. They must be able to reach this address.
listen = "tcp:9200:interface=127.0.0.1"

# The dashboard, and /api, /metrics, /healthz. Not for visitors.
admin = "tcp:9201:interface=127.0.0.1"

# The same file as on the nodes.
secret_file = "{secret}"

# The queue of recordings, which survives a restart of the crawler.
state_dir = "state-crawler"
queue = "sqlite:///crawler.db"

# The WARC files.
archive_dir = "archive"

# How long a recording is retried before it is lost.
give_up_after_seconds = 900

[sites.main]
# The site as its visitors' browsers name it; fetches go there, through the balancer.
origin = "{origin}"

# The balancer's address, if DNS does not lead to it: for example "tcp:10.0.0.5:80".
connect = ""

# The same as on the nodes.
dialect = "auto"
cookies = []
{nodes}"""

_KNOWN_NODE = """
[sites.main.nodes.{name}]
# The node's own address, for fetches without the balancer: for example "http://10.0.0.1:8080".
direct = ""
"""


def starter_files(names: Sequence[str], origin: str, secret: str) -> dict[str, str]:
    """Return the files of a starter configuration: file name to content.

    :param names: the nodes' names, validated and unique.
    :param origin: the site's origin, validated.
    :param secret: the farm's secret as text.
    """
    files = {SECRET_NAME: secret + "\n"}
    for name in names:
        peers = "".join(f'# {other} = "http://{other}.internal:8080"\n' for other in names if other != name)
        files[f"{name}.toml"] = _NODE.format(name=name, secret=SECRET_NAME, origin=origin, peers=peers)
    nodes = "".join(_KNOWN_NODE.format(name=name) for name in names)
    files[CRAWLER_NAME] = _CRAWLER.format(file=CRAWLER_NAME, secret=SECRET_NAME, origin=origin, nodes=nodes)
    return files


def write_new(folder: Path, files: dict[str, str]) -> list[Path]:
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
