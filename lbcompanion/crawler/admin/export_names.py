"""File names of exports, from which a person knows what is inside: kind, host, visitor, times.

The name is safe on every file system, and in a field of HTTP without quoting: letters, digits, dots and hyphens. It
begins with the kind, so that no host makes it a hidden file or a device of Windows.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import UTC, datetime

_UNSAFE = re.compile(r"[^a-z0-9.]+")
_MAX_HOST_CHARS = 100


def export_name(kind: str, urls: Collection[str], first: float, last: float) -> str:
    """Return the name of a file with pages.

    :param kind: what the pages are, such as ``page``.
    :param urls: addresses of the pages, at least one of each host.
    :param first: when the first page was viewed.
    :param last: when the last one was.
    """
    hosts = {_host(url) for url in urls}
    host = hosts.pop() if len(hosts) == 1 else f"{len(hosts)}-hosts"
    times = dict.fromkeys(f"{datetime.fromtimestamp(each, UTC):%Y-%m-%d-%H%M%SZ}" for each in (first, last))
    return f"{kind}-{host}-{'-to-'.join(times)}.wacz"


def _host(url: str) -> str:
    authority = url.split("/", 3)[2] if url.count("/") > 1 else ""
    return _UNSAFE.sub("-", authority.lower())[:_MAX_HOST_CHARS].strip("-.") or "site"
