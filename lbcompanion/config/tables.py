"""The keys of the configuration and their checks; the defaults are in :mod:`lbcompanion.settings`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from lbcompanion import checks
from lbcompanion.checks import Check
from lbcompanion.config import archive_checks, endpoint_checks, file_checks
from lbcompanion.endpoints.certificates import BadCertificate, ClientCertificates, ServerCertificate
from lbcompanion.endpoints.strings import EndpointString, parse
from lbcompanion.errors import InvalidValue
from lbcompanion.html.masks import Masks
from lbcompanion.http1.file_patterns import is_file_pattern
from lbcompanion.http1.path_patterns import is_matchable
from lbcompanion.model import CRAWLER_NAME, DEFAULT_LADDER, NODE_NAME
from lbcompanion.sticky.dialects import AUTO, known_names
from lbcompanion.sticky.dialects.generic import PART_ALLOWED, parse_part
from lbcompanion.stores import urls

Table = Mapping[str, Check]

_QUEUE_SERVERS = ("postgresql", "mysql", "mariadb")
# RFC 6265 section 4.1.1, and the comma and the blank that scripts write.
_COOKIE_VALUE = re.compile(r"[\x20-\x3a\x3c-\x7e]+", re.ASCII)
_QUEUES = "sqlite:///FILE, " + ", ".join(dict.fromkeys(urls.SERVER_STORES[each].form for each in _QUEUE_SERVERS))
NAME_ALLOWED = "1 to 32 letters, digits, _ or -"


def _queue(value: object, folder: Path) -> str:
    """Check the URL of the crawler's queue: SQLite, or one of the servers that SQL stores use."""
    if not isinstance(value, str):
        raise InvalidValue(_QUEUES)
    if value.partition(":")[0] in _QUEUE_SERVERS:
        return urls.store_url(value, folder)
    try:
        return urls.sqlite_url(value, folder)
    except InvalidValue as error:
        raise InvalidValue(_QUEUES, error.shown_value) from None


_origins = checks.list_of(checks.origin(empty=False), "a list of origins", minimum=1, unique=True)


def _intake(value: object, folder: Path) -> object:
    """Check one origin, or a list of them."""
    return (_origins if isinstance(value, list) else checks.origin(empty=True))(value, folder)


def _selector(value: object, folder: Path) -> str:
    allowed = "CSS selectors that can be used for a mask"
    if not isinstance(value, str) or not value:
        raise InvalidValue(allowed)
    try:
        Masks([value])
    except ValueError:
        raise InvalidValue(allowed) from None
    return value


def _with_certificates(check: Check, make: Callable[[EndpointString], object], allowed: str) -> Check:
    """Make a check for an endpoint string that also reads its TLS files and checks that they match."""

    def check_both(value: object, folder: Path) -> str:
        text: str = check(value, folder)
        endpoint = parse(text)
        try:
            if endpoint.encrypted:
                make(endpoint)
        except BadCertificate as error:
            raise InvalidValue(f"{allowed} ({error})") from None
        return text

    return check_both


_CERTIFICATE_ALLOWED = "a certificate in PEM and its key"
_listener = _with_certificates(endpoint_checks.listener, ServerCertificate, _CERTIFICATE_ALLOWED)
_admin = _with_certificates(endpoint_checks.server, ServerCertificate, _CERTIFICATE_ALLOWED)
_upstream = _with_certificates(endpoint_checks.client, ClientCertificates, "authorities in PEM that can be read")


def _dialect(value: object, folder: Path) -> str:
    names = (AUTO, *known_names())  # at each call, because plugins may have added dialects
    if isinstance(value, str) and value in names:
        return value
    similar = difflib.get_close_matches(str(value), names, 1)
    hint = f'did you mean "{similar[0]}"? ' if similar else ""
    raise InvalidValue(f'{hint}"auto", or a name that "lbcompanion explain --list" has')


def _part(value: object, folder: Path) -> str:
    if not isinstance(value, str):
        raise InvalidValue(PART_ALLOWED)
    try:
        parse_part(value)
    except ValueError as error:
        raise InvalidValue(PART_ALLOWED if value[:1] != "/" else f"{PART_ALLOWED} ({error})") from None
    return value


def _key(value: object, folder: Path) -> str:
    """Check the balancer's key; no message shows it."""
    if not isinstance(value, str) or not value.isprintable():
        raise InvalidValue("a text, or empty", "not a printable text")
    return value


def _path_pattern(value: object, folder: Path) -> str:
    """Check that a pattern can match the path of a request."""
    if not isinstance(value, str) or not value.isprintable() or not is_matchable(value):
        raise InvalidValue(
            'path patterns that begin with "/" or "**" and have no "//", "/./" or "/../", such as /shop/**'
        )
    return value


def _file_pattern(value: object, folder: Path) -> str:
    """Check that a pattern can match the host and the path of a file."""
    if not isinstance(value, str) or not value.isprintable() or not is_file_pattern(value):
        raise InvalidValue(
            'patterns of paths such as /ads/**, or of hosts and paths such as *.example.com/ads/**; "**" alone '
            "matches all files"
        )
    return value


_script_file = checks.text(
    re.compile(r"/(?!/)[^\s\\#*]{0,2000}"), 'paths of files on the site such as /images/bold.png, without "*"'
)
_WEBHOOK_URL = re.compile(r"https?://([^/?#@]+)/[!\"$-~]*", re.ASCII)


def _webhook_url(value: object, folder: Path) -> str:
    """Check the address of a webhook. No message shows it: it may contain a secret."""
    allowed = "an absolute URL with a path, such as https://www.example.com/hook, without user and fragment"
    found = _WEBHOOK_URL.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidValue(allowed, "not such a URL")
    assert isinstance(value, str)
    checks.origin(empty=False)(value[: found.end(1)], folder)
    return value


_node_name = checks.text(NODE_NAME, NAME_ALLOWED)
_names = checks.list_of(checks.cookie_name, "a list of cookie names and patterns")
_token_names = checks.list_of(
    checks.text(checks.TOKEN, "cookie names: letters, digits and !#$%&'*+-.^_`|~"), "a list of cookie names"
)
_path_patterns = checks.list_of(_path_pattern, "a list of path patterns")
_consent_values = checks.list_of(
    checks.text(_COOKIE_VALUE, "a cookie's value, in which * stands for any characters: visible ASCII without ;"),
    "a list of a cookie's values",
)
_host_names = checks.list_of(checks.host_name, "a list of host names")
_positive = checks.number(0, exclude_minimum=True)
_secret_files = checks.list_of(checks.path, "a list of files", unique=True)

STICKY: Table = {
    "dialect": _dialect,
    "cookies": _names,
    "allow_credentials": _token_names,
    "part": _part,
    "replay_safe": checks.boolean,
}

NODE: Mapping[str, Table] = {
    "node": {
        "name": _node_name,
        "listen": checks.list_of(
            _listener,
            'a list of one or more endpoint strings such as ["tcp:8080"]',
            minimum=1,
            unique=True,
        ),
        "upstream": _upstream,
        "secret_file": checks.path,
        "accept_secret_files": _secret_files,
        "state_dir": file_checks.folder,
        "admin": _admin,
        "admin_hosts": _host_names,
        "workers": checks.integer(1, 64),
        "prefix": checks.prefix,
        "public_origin": checks.origin(empty=True),
        "direct_origin": checks.origin(empty=True),
        "trusted_proxies": checks.list_of(checks.network, "a list of CIDR blocks"),
    },
    "capture": {
        "enabled": checks.boolean,
        "ratio": checks.number(0, 1),
        "visitor_cookie": checks.text(checks.TOKEN, "the name of a cookie"),
        "identify": checks.boolean,
        "consent_cookie": checks.text(checks.TOKEN, "the name of a cookie, or empty", empty=True),
        "consent_values": _consent_values,
        "respect_gpc": checks.boolean,
        "respect_dnt": checks.boolean,
        "revalidate": checks.choice("keep", "no-store"),
        "no_store": _path_patterns,
        "outlive_pull": _path_patterns,
        "force_parameter": checks.text(None, "a parameter as it stands in a query, such as lbc=record", empty=True),
        "include": _path_patterns,
        "exclude": _path_patterns,
        "methods": checks.list_of(
            checks.text(checks.UPPER_TOKEN, "methods in capitals, such as GET"), "a list of methods", minimum=1
        ),
        "statuses": checks.list_of(checks.integer(200, 599), "a list of statuses", minimum=1),
        "max_page_bytes": checks.integer(1),
        "fragments": checks.choice("on-request", "never"),
        "mask": checks.list_of(_selector, "a list of CSS selectors"),
        "exclude_blocks": checks.boolean,
        "archive_fields_exclude": checks.list_of(
            checks.text(checks.TOKEN, "the name of a header field"), "a list of names of header fields"
        ),
    },
    "inject": {
        "enabled": checks.boolean,
        "top_file": checks.readable_file("a file"),
        "bottom_file": checks.readable_file("a file"),
        "skip_if": checks.bytes_pattern,
        "top_after": checks.bytes_pattern,
        "top_before": checks.bytes_pattern,
        "bottom_after": checks.bytes_pattern,
        "bottom_before": checks.bytes_pattern,
        "clicktale_names": checks.boolean,
        "csp": checks.choice("respect", "adapt"),
        "address": checks.choice("page", "prefix", "relative"),
    },
    "store": {
        "url": file_checks.database_url(urls.store_url),
        "max_pages": checks.integer(1),
        "max_bytes": checks.integer(1),
        "max_seconds": _positive,
        "delete_after_pull": checks.boolean,
        "pull_grace_seconds": checks.number(0),
        "encryption_key_file": checks.encryption_key_file,
    },
    "sticky": STICKY,
    "fetch": {
        "addresses": checks.list_of(checks.network, "a list of CIDR blocks"),
        "address_header": checks.text(checks.TOKEN, "the name of a header, or empty", empty=True),
        "signature": checks.choice("required", "off"),
        "public_keys": checks.mapping(
            lambda key: bool(key) and key.isprintable() and key.isascii() and '"' not in key and key != "farm",
            'key ids other than "farm"',
            checks.ed25519_public_key,
        ),
    },
    "crawler": {
        "intake": _intake,
        "notices": checks.choice("browser", "server", "both"),
    },
    "limits": {
        "head_bytes": checks.integer(256),
        "header_lines": checks.integer(1),
        "head_seconds": _positive,
        "idle_seconds": _positive,
        "stalled_seconds": _positive,
        "requests_per_connection": checks.integer(1),
        "body_bytes_per_second": checks.number(0),
        "upstream_connect_seconds": _positive,
        "upstream_head_bytes": checks.integer(256),
        "upstream_seconds": _positive,
        "connections": checks.integer(1),
        "connections_per_address": checks.integer(0),
        "upstream_connections": checks.integer(0),
        "upstream_queue_seconds": _positive,
        "upstream_idle": checks.integer(0),
        "upstream_idle_seconds": _positive,
        "expansion_ratio": checks.number(1),
        "capturing_bytes": checks.integer(1),
        "masked_elements": checks.integer(0),
        "policy_bytes": checks.integer(0),
        "page_cookies_bytes": checks.integer(0),
        "spool_bytes": checks.integer(65536),
    },
}
#: ``[peers]`` has free keys: each entry maps a node's name to its origin.
PEERS = checks.mapping(checks.is_node_name, f"node names: {NAME_ALLOWED}", checks.origin(empty=False))

CRAWLER: Table = {
    "name": checks.text(CRAWLER_NAME, "1 to 64 letters, digits, ., _ or -, or empty", empty=True),
    "listen": endpoint_checks.server,
    "admin": endpoint_checks.server,
    "admin_hosts": _host_names,
    "admin_without_users": checks.boolean,
    "admin_proxies": checks.list_of(checks.network, "a list of CIDR blocks"),
    "users_file": checks.optional_path,
    "forward_auth_header": checks.text(checks.TOKEN, "the name of a header, or empty", empty=True),
    "forward_auth_role_header": checks.text(checks.TOKEN, "the name of a header, or empty", empty=True),
    "session_idle_seconds": _positive,
    "session_seconds": _positive,
    "login_failures": checks.integer(1, 1000),
    "login_wait_seconds": checks.number(1, 3600),
    "open_metrics": checks.boolean,
    "audit_days": checks.number(0),
    "secret_file": checks.path,
    "accept_secret_files": _secret_files,
    "state_dir": file_checks.folder,
    "queue": file_checks.database_url(_queue),
    "archive": archive_checks.archive_url,
    "archive_dir": file_checks.folder,
    "rotate_bytes": checks.integer(1),
    "rotate_seconds": checks.number(0),
    "revisit_bytes": checks.integer(0),
    "min_free_bytes": checks.integer(0),
    "keep_days": checks.number(0),
    "keep_bytes": checks.integer(0),
    "concurrency": checks.integer(1, 10000),
    "per_node": checks.integer(0, 10000),
    "lease_seconds": checks.number(1, 3600),
    "gone_seconds": checks.number(0),
    "gather_seconds": checks.number(0, 1),
    "gather_pages": checks.integer(1, 10000),
    "gather_bytes": checks.integer(1),
    "requisites": checks.boolean,
    "replay_scripts": endpoint_checks.optional_server,
    "replay_scripts_origin": checks.origin(empty=True),
    "replay_scripts_seconds": checks.number(10, 86400),
    "replay_scripts_viewings": checks.integer(1, 100000),
    "timeout_seconds": _positive,
    "give_up_after_seconds": _positive,
    "intake_connections": checks.integer(1),
    "intake_seconds": _positive,
}
CRAWLER_FETCH: Table = {
    "user_agent": checks.text(
        re.compile(r"[!-~]([ -~]{0,198}[!-~])?"), "1 to 200 printable characters of ASCII, or empty", empty=True
    ),
    "response_head_bytes": checks.integer(1024),
    "idle_seconds": checks.number(0.1, 3600),
    "idle_connections": checks.integer(0, 10000),
}
REQUISITES: Table = {
    "enabled": checks.boolean,
    "max_files": checks.integer(1),
    "max_file_bytes": checks.integer(1),
    "max_bytes": checks.integer(1),
    "max_seconds": _positive,
    "retries": checks.integer(0, 10),
    "per_node": checks.integer(1, 1000),
    "fresh_seconds": checks.number(0),
    "cache_bytes": checks.integer(0),
    "cache_files": checks.integer(0),
    "exclude": checks.list_of(_file_pattern, "a list of patterns"),
}
OUTCOMES: Table = {
    "keep_days": _positive,
    "keep_count": checks.integer(1),
    "streams": checks.integer(0, 1000),
    "heartbeat_seconds": checks.number(1, 3600),
    "stalled_seconds": checks.number(1, 3600),
}
WEBHOOK: Table = {
    "url": _webhook_url,
    "secret_file": checks.path,
    "ca_file": checks.readable_file("a file of certificates in PEM"),
    "sites": checks.list_of(_node_name, "a list of names of sites", unique=True),
    "outcome": checks.choice("", "archived", "lost"),
    "max_events": checks.integer(1, 1000),
    "timeout_seconds": checks.number(1, 60),
    "max_pause_seconds": checks.number(1, 3600),
}
SITE: Table = {
    "origin": checks.origin(empty=False),
    "origins": checks.list_of(checks.origin(empty=False), "a list of origins", unique=True),
    "script_files": checks.list_of(_script_file, "a list of paths on the site", unique=True),
    "connect": endpoint_checks.optional_client,
    "ca_file": checks.readable_file("a file of certificates in PEM"),
    "prefix": checks.prefix,
    **STICKY,
    "key": _key,
    "ladder": checks.list_of(
        checks.choice(*DEFAULT_LADDER), "a list of one or more of " + ", ".join(DEFAULT_LADDER), minimum=1, unique=True
    ),
}
KNOWN_NODE: Table = {
    "direct": checks.origin(empty=True),
    "cookie": checks.cookie_pair,
    "address": checks.text(
        re.compile(r"\S{1,500}"), "the node as the balancer has it, such as 10.0.0.11:8080 or a URL", empty=True
    ),
}
