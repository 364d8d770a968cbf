"""The configuration as frozen values: a class for each table of the files, a field for each key.

The defaults are those of the manual. :mod:`lbcompanion.config` reads and checks the files, so all values here are
valid. All paths are absolute, ``state_dir`` included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path

from attrs import Factory, field, frozen

from lbcompanion.model import DEFAULT_LADDER

Networks = tuple[IPv4Network | IPv6Network, ...]

_LOOPBACK: Networks = (IPv4Network("127.0.0.0/8"), IPv6Network("::1/128"))


@frozen
class NodeTable:
    """``[node]``. ``secret`` is the content of ``secret_file`` without surrounding white space; it accepts those of
    ``accept_secret_files`` too."""

    name: str
    listen: tuple[str, ...]
    upstream: str
    secret_file: Path
    secret: bytes = field(repr=False)
    accept_secret_files: tuple[Path, ...] = ()
    state_dir: Path = Path("state")
    admin: str = "tcp:9101:interface=127.0.0.1"
    admin_hosts: tuple[str, ...] = ()
    workers: int = 1
    prefix: str = "/_lbc"
    public_origin: str = ""
    direct_origin: str = ""
    trusted_proxies: Networks = _LOOPBACK


@frozen
class CaptureTable:
    """``[capture]``."""

    enabled: bool = True
    ratio: float = 1.0
    visitor_cookie: str = "WRUID"
    identify: bool = False
    consent_cookie: str = ""
    consent_values: tuple[str, ...] = ()
    respect_gpc: bool = False
    respect_dnt: bool = False
    revalidate: str = "keep"
    no_store: tuple[str, ...] = ()
    outlive_pull: tuple[str, ...] = ()
    force_parameter: str = ""
    include: tuple[str, ...] = ("/**",)
    exclude: tuple[str, ...] = ()
    methods: tuple[str, ...] = ("GET", "POST")
    statuses: tuple[int, ...] = (200,)
    max_page_bytes: int = 4194304
    fragments: str = "on-request"
    mask: tuple[str, ...] = ("[type=password i]", "[autocomplete*='cc-' i]")
    exclude_blocks: bool = True
    archive_fields_exclude: tuple[str, ...] = ("WWW-Authenticate", "X-Auth-Token", "X-CSRF-Token", "X-XSRF-Token")


@frozen
class InjectTable:
    """``[inject]``. ``top`` and ``bottom`` are the content of the files, or None."""

    enabled: bool = True
    top_file: Path | None = None
    bottom_file: Path | None = None
    top: bytes | None = None
    bottom: bytes | None = None
    skip_if: str = ""
    top_after: str = ""
    top_before: str = ""
    bottom_after: str = ""
    bottom_before: str = ""
    clicktale_names: bool = False
    csp: str = "respect"
    address: str = "page"


@frozen
class StoreTable:
    """``[store]``. A file in ``url`` has an absolute path."""

    url: str = field(default="memory:", repr=False)
    max_pages: int = 10000
    max_bytes: int = 268435456
    max_seconds: float = 600
    delete_after_pull: bool = True
    pull_grace_seconds: float = 60
    encryption_key_file: Path | None = None


@frozen
class StickyTable:
    """``[sticky]``, and the same keys of a crawler's site. ``part`` and ``replay_safe`` are for ``generic`` only."""

    dialect: str = "auto"
    cookies: tuple[str, ...] = ()
    allow_credentials: tuple[str, ...] = ()
    part: str = "whole"
    replay_safe: bool = False


@frozen
class FetchTable:
    """``[fetch]``. ``public_keys`` maps key ids to PEM."""

    addresses: Networks = ()
    address_header: str = ""
    signature: str = "required"
    public_keys: Mapping[str, bytes] = Factory(dict)


def _one_or_several(value: str | Sequence[str]) -> tuple[str, ...]:
    return ((value,) if value else ()) if isinstance(value, str) else tuple(value)


@frozen
class NodeCrawlerTable:
    """``[crawler]`` of a node's file.

    :ivar intake: the crawlers' origins, in the order in which they are tried; none: no notices are sent.
    """

    intake: tuple[str, ...] = field(default="http://127.0.0.1:9200", converter=_one_or_several)
    notices: str = "browser"


@frozen
class LimitsTable:
    """``[limits]``."""

    head_bytes: int = 65536
    header_lines: int = 100
    head_seconds: float = 10
    idle_seconds: float = 75
    stalled_seconds: float = 60
    requests_per_connection: int = 10000
    body_bytes_per_second: float = 128
    upstream_connect_seconds: float = 5
    upstream_head_bytes: int = 262144
    upstream_seconds: float = 60
    connections: int = 10000
    connections_per_address: int = 0
    upstream_connections: int = 0
    upstream_queue_seconds: float = 60
    upstream_idle: int = 64
    upstream_idle_seconds: float = 4
    expansion_ratio: float = 100
    capturing_bytes: int = 134217728
    masked_elements: int = 5000
    policy_bytes: int = 16384
    page_cookies_bytes: int = 4194304
    spool_bytes: int = 268435456


@frozen
class NodeSettings:
    """A node's whole file.

    :ivar file: the file; None if the settings were not read from one.
    """

    node: NodeTable
    capture: CaptureTable = CaptureTable()
    inject: InjectTable = InjectTable()
    store: StoreTable = StoreTable()
    sticky: StickyTable = StickyTable()
    fetch: FetchTable = FetchTable()
    peers: Mapping[str, str] = Factory(dict)
    crawler: NodeCrawlerTable = NodeCrawlerTable()
    limits: LimitsTable = LimitsTable()
    file: Path | None = field(default=None, eq=False, repr=False)


@frozen
class CrawlerTable:
    """``[crawler]`` of a crawler's file; ``secret`` as in :class:`NodeTable`.

    :ivar name: empty: the one of :func:`lbcompanion.crawler.crawler_name.crawler_name`.
    :ivar per_node: 0: as many as ``concurrency``.
    """

    secret_file: Path
    secret: bytes = field(repr=False)
    name: str = ""
    accept_secret_files: tuple[Path, ...] = ()
    listen: str = "tcp:9200:interface=127.0.0.1"
    admin: str = "tcp:9201:interface=127.0.0.1"
    admin_hosts: tuple[str, ...] = ()
    admin_without_users: bool = False
    admin_proxies: Networks = ()
    users_file: Path | None = None
    forward_auth_header: str = ""
    forward_auth_role_header: str = ""
    session_idle_seconds: float = 7200
    session_seconds: float = 43200
    login_failures: int = 5
    login_wait_seconds: float = 30
    open_metrics: bool = False
    audit_days: float = 365
    state_dir: Path = Path("state")
    queue: str = field(default="sqlite:///crawler.db", repr=False)
    archive: str = ""
    archive_dir: Path = Path("archive")
    rotate_bytes: int = 1073741824
    rotate_seconds: float = 86400
    revisit_bytes: int = 2147483648
    min_free_bytes: int = 268435456
    keep_days: float = 0
    keep_bytes: int = 0
    concurrency: int = 32
    per_node: int = 0
    lease_seconds: float = 60
    gone_seconds: float = 3600
    gather_seconds: float = 0.02
    gather_pages: int = 16
    gather_bytes: int = 8388608
    requisites: bool = True
    replay_scripts: str = ""
    replay_scripts_origin: str = ""
    replay_scripts_seconds: float = 600
    replay_scripts_viewings: int = 1000
    timeout_seconds: float = 20
    give_up_after_seconds: float = 900
    intake_connections: int = 256
    intake_seconds: float = 30


@frozen
class KnownNode:
    """``[sites.NAME.nodes.NODE]``: what the configuration says about a node."""

    direct: str = ""
    cookie: str = field(default="", repr=False)
    address: str = ""


@frozen
class SiteSettings:
    """``[sites.NAME]``. ``key`` is the balancer's key, for dialects with keyed cookies.

    :ivar origins: further origins whose pages are archived.
    :ivar script_files: the paths of files that only scripts name.
    """

    name: str
    origin: str
    connect: str = ""
    ca_file: Path | None = None
    prefix: str = "/_lbc"
    sticky: StickyTable = StickyTable()
    key: str = field(default="", repr=False)
    ladder: tuple[str, ...] = DEFAULT_LADDER
    nodes: Mapping[str, KnownNode] = Factory(dict)
    origins: tuple[str, ...] = ()
    script_files: tuple[str, ...] = ()


@frozen
class RequisitesTable:
    """``[requisites]``: the requisites of pages, their limits and their cache."""

    enabled: bool = True
    max_files: int = 300
    max_file_bytes: int = 8388608
    max_bytes: int = 25165824
    max_seconds: float = 30
    retries: int = 2
    per_node: int = 6
    fresh_seconds: float = 300
    cache_bytes: int = 67108864
    cache_files: int = 10000
    exclude: tuple[str, ...] = ()


@frozen
class OutcomesTable:
    """``[outcomes]``: how long outcomes can be followed, and the limits of streams."""

    keep_days: float = 7
    keep_count: int = 100000
    streams: int = 16
    heartbeat_seconds: float = 15
    stalled_seconds: float = 30


@frozen
class WebhookSettings:
    """``[webhooks.NAME]``: a program that gets outcomes by ``POST``.

    :ivar secret: what the requests are signed with.
    :ivar sites: the names of the sites whose recordings it gets; empty: all.
    :ivar outcome: ``archived``, ``lost``, or empty for both.
    """

    name: str
    url: str = field(repr=False)
    secret_file: Path
    secret: bytes = field(repr=False)
    ca_file: Path | None = None
    sites: tuple[str, ...] = ()
    outcome: str = ""
    max_events: int = 100
    timeout_seconds: float = 10
    max_pause_seconds: float = 300


@frozen
class CrawlerFetchTable:
    """``[fetch]`` of a crawler's file. An empty ``user_agent`` means the program's name and version."""

    user_agent: str = ""
    response_head_bytes: int = 262144
    idle_seconds: float = 4
    idle_connections: int = 64


@frozen
class CrawlerSettings:
    """A crawler's whole file; ``file`` as in :class:`NodeSettings`."""

    crawler: CrawlerTable
    sites: Mapping[str, SiteSettings]
    fetch: CrawlerFetchTable = CrawlerFetchTable()
    requisites: RequisitesTable = RequisitesTable()
    outcomes: OutcomesTable = OutcomesTable()
    webhooks: Mapping[str, WebhookSettings] = Factory(dict)
    file: Path | None = field(default=None, eq=False, repr=False)
