"""Checks of the keys about access to the crawler's admin listener."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any

from lbcompanion.endpoints.strings import parse
from lbcompanion.settings import CrawlerTable

#: Kinds of listeners whose origin follows from the address in the dashboard.
_PLAIN_TCP = frozenset({"tcp", "tcp6"})
#: Fields of HTTP that cannot name a user.
_OTHER_FIELDS = frozenset(
    {"authorization", "cookie", "host", "origin", "content-type", "content-length", "transfer-encoding", "connection"}
)


def is_local(endpoint: str) -> bool:
    """Whether only processes of this machine can connect: a Unix socket, or an interface of loopback."""
    parsed = parse(endpoint)
    if parsed.kind == "unix":
        return True
    return is_loopback_name(parsed.options.get("interface", "").strip("[]"))


def is_loopback_name(name: str) -> bool:
    """Whether a host name or address is this machine's own: ``localhost``, or an address of loopback."""
    if name.lower() == "localhost":
        return True
    try:
        return ip_address(name.partition("%")[0]).is_loopback
    except ValueError:
        return False


def has_log_in(crawler: Mapping[str, Any]) -> bool:
    """Whether callers of the admin listener have to log in."""
    return bool(crawler.get("users_file") or crawler.get("forward_auth_header"))


def check_access(crawler: Mapping[str, Any], admin: str, add_error: Callable[[str, str, str], None]) -> None:
    """Check the rules about several keys.

    :param crawler: the checked values of ``[crawler]``.
    :param admin: the endpoint of the admin listener; empty if it is wrong.
    """
    _check_replay_scripts(crawler, add_error)
    if not admin:
        return
    header, role_header = crawler.get("forward_auth_header") or "", crawler.get("forward_auth_role_header") or ""
    if not is_local(admin) and not has_log_in(crawler) and not crawler.get("admin_without_users"):
        add_error(
            "crawler.admin",
            f'"{admin}"',
            "an address of loopback, such as tcp:9201:interface=127.0.0.1, while nobody has to log in. For another "
            'address set users_file and run "lbcompanion user add"; or set admin_without_users = true if only '
            "operators can reach it",
        )
    for key, name in (("forward_auth_header", header), ("forward_auth_role_header", role_header)):
        if name.lower() in _OTHER_FIELDS or (name and name.lower() == (header if name is role_header else "").lower()):
            add_error(f"crawler.{key}", f'"{name}"', "a field that only the proxy sets, such as X-Forwarded-User")
    if header and not crawler.get("admin_proxies") and parse(admin).kind != "unix":
        add_error("crawler.admin_proxies", "empty", "the proxies' addresses, where forward_auth_header is set")
    if header and not role_header and not crawler.get("users_file"):
        add_error(
            "crawler.forward_auth_role_header",
            "empty",
            "the header with the role, where forward_auth_header is set without users_file",
        )
    if role_header and not header:
        add_error("crawler.forward_auth_role_header", f'"{role_header}"', "empty without forward_auth_header")


def _check_replay_scripts(crawler: Mapping[str, Any], add_error: Callable[[str, str, str], None]) -> None:
    listener, origin = crawler.get("replay_scripts") or "", crawler.get("replay_scripts_origin") or ""
    if origin and not listener:
        add_error("crawler.replay_scripts_origin", f'"{origin}"', "empty where replay_scripts is empty")
    if listener and not origin and parse(listener).kind not in _PLAIN_TCP:
        add_error(
            "crawler.replay_scripts_origin",
            "empty",
            "the origin under which browsers reach replay_scripts, such as https://replay.example.com: only that of "
            "a listener tcp: is known without it",
        )


def access_warnings(crawler: CrawlerTable) -> list[tuple[str, str]]:
    """Return the warnings about access to the admin listener: the key, and a description."""
    if not crawler.users_file and not crawler.forward_auth_header and not is_local(crawler.admin):
        return [("crawler.admin", "nobody has to log in: everybody who can reach it may see and erase everything")]
    if crawler.users_file and not crawler.users_file.exists():
        return [("crawler.users_file", f'{crawler.users_file} is missing: add users with "lbcompanion user add"')]
    return []
