"""Patterns of the configuration for the files of pages: path patterns, with or without a host before them.

``/ads/**`` matches on every host, ``*.example.com/ads/**`` on these hosts only. A pattern matches if any reading of the
path matches (:mod:`lbcompanion.http1.path_patterns`). The query is not compared.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from lbcompanion.http1.path_patterns import PathPatterns, is_matchable

_HOST = re.compile(r"[A-Za-z0-9.*?\[\]:_-]+", re.ASCII)


def is_file_pattern(pattern: str) -> bool:
    """Whether a pattern matches any file at all."""
    host, path = _parts(pattern)
    return (not host or _HOST.fullmatch(host) is not None) and is_matchable(path)


class FilePatterns:
    """A compiled list of patterns."""

    def __init__(self, patterns: Iterable[str]) -> None:
        by_host: dict[str, list[str]] = {}
        self._is_empty = True
        for host, path in map(_parts, patterns):
            by_host.setdefault(host.lower(), []).append(path)
            self._is_empty = False
        self._on_any_host = PathPatterns(by_host.pop("", []))
        self._on_hosts = [(PathPatterns([f"/{host}"]), PathPatterns(paths)) for host, paths in by_host.items()]

    def match(self, url: str) -> bool:
        """Whether a pattern matches an absolute URL."""
        if self._is_empty:
            return False
        parts = urlsplit(url)
        path = (parts.path or "/").encode("utf-8", "surrogateescape")
        if self._on_any_host.excludes(path):
            return True
        host = f"/{parts.netloc.lower()}".encode("utf-8", "surrogateescape")
        return any(hosts.includes(host) and paths.excludes(path) for hosts, paths in self._on_hosts)


def _parts(pattern: str) -> tuple[str, str]:
    """Split a pattern into host and path; the host is empty if the pattern begins like a path."""
    if pattern.startswith(("/", "**")):
        return "", pattern
    host, slash, path = pattern.partition("/")
    return host, slash + path
