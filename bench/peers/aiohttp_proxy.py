"""aiohttp: a proxy with capture and injection, :mod:`bench.proxies.aiohttp_proxy`."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

from bench.peers.interface import Peer
from bench.targets import AIOHTTP


class AiohttpProxy(Peer):
    """Capture and injection in Python, by someone who has other things to do."""

    name = AIOHTTP
    share = 0.5

    @classmethod
    def missing(cls) -> str:
        """aiohttp, where the extra ``bench`` is not installed."""
        return "" if cls.version() else "the package aiohttp"

    @classmethod
    def version(cls) -> str:
        """aiohttp's."""
        try:
            return version("aiohttp")
        except PackageNotFoundError:
            return ""

    def command(self) -> list[str]:
        """The module, by this very Python."""
        return self.python_command("-m", "bench.proxies.aiohttp_proxy", str(self.port), str(self.origin_port))

    def copy(self, token: str) -> bytes:
        """Unsigned."""
        return self.get(f"/_lbc/page/{token}", {})
