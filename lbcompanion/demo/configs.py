"""The configuration files that the demo writes for its companions and its crawler, as a user would write them."""

from __future__ import annotations

import json
from collections.abc import Sequence

from attrs import frozen

from lbcompanion.demo.application import CUSTOMER_COOKIE
from lbcompanion.demo.ports import LOOPBACK

#: The demo's routing cookie, and the dialect of the built-in balancer.
COOKIE = "SRV"
DIALECT = "haproxy-insert"
SECRET_FILE = "farm.secret"


@frozen
class NodePlan:
    """The ports of one node, all on loopback.

    :ivar application_port: the port of its application.
    :ivar public_port: of its companion, for visitors.
    :ivar admin_port: of its companion, for operators.
    """

    name: str
    application_port: int
    public_port: int
    admin_port: int


@frozen
class FarmPlan:
    """The ports of the whole farm.

    :ivar site: the balancer's port.
    :ivar intake_port: the crawler's port for notices.
    :ivar admin_port: the crawler's port for the dashboard.
    :ivar dialect: the dialect of the balancer's cookie.
    """

    nodes: Sequence[NodePlan]
    site: int
    intake_port: int
    admin_port: int
    dialect: str = DIALECT

    @property
    def origin(self) -> str:
        """The site's public origin."""
        return f"http://{LOOPBACK}:{self.site}"


def node_config(plan: FarmPlan, node: NodePlan, *, durable: bool = False) -> str:
    """Return a node's configuration file.

    :param durable: keep copies in a file, so that they survive a restart.
    """
    store = f"sqlite:///pages-{node.name}.db" if durable else "memory:"
    return f"""[node]
name = {_text(node.name)}
listen = [{_text(_listen(node.public_port))}]
upstream = {_text(f"tcp:{LOOPBACK}:{node.application_port}")}
secret_file = {_text(SECRET_FILE)}
state_dir = {_text(f"state-{node.name}")}
admin = {_text(_listen(node.admin_port))}

[store]
url = {_text(store)}

[sticky]
dialect = {_text(plan.dialect)}
cookies = [{_text(COOKIE)}]

[capture]
visitor_cookie = {_text(CUSTOMER_COOKIE)}

[crawler]
intake = {_text(f"http://{LOOPBACK}:{plan.intake_port}")}
"""


def crawler_config(plan: FarmPlan, give_up_seconds: int) -> str:
    """Return the crawler's configuration file.

    :param give_up_seconds: after how long the crawler gives up a notice.
    """
    return f"""[crawler]
listen = {_text(_listen(plan.intake_port))}
admin = {_text(_listen(plan.admin_port))}
secret_file = {_text(SECRET_FILE)}
state_dir = "state-crawler"
archive_dir = "archive"
give_up_after_seconds = {give_up_seconds}

[sites.main]
origin = {_text(plan.origin)}
origins = [{_text(plan.origin.replace("127.0.0.1", "localhost"))}]
dialect = {_text(plan.dialect)}
cookies = [{_text(COOKIE)}]
"""


def _listen(port: int) -> str:
    return f"tcp:{port}:interface={LOOPBACK}"


def _text(value: str) -> str:
    """Return a TOML basic string: JSON's escapes are valid in TOML (TOML 1.0, "String")."""
    return json.dumps(value)
