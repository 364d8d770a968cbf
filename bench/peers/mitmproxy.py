"""mitmproxy in reverse mode, with an addon that captures and injects: the tool that is at hand for changing traffic.

Its pins are strict, so it lives in an environment of its own, which ``make bench`` makes: ``.venv-mitmproxy``.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench.peers.interface import Peer, program
from bench.targets import MITMPROXY
from bench.workload import NOT_CAPTURED

_ROOT = Path(__file__).resolve().parents[2]
_ADDON = _ROOT / "bench" / "proxies" / "mitmproxy_addon.py"


def _mitmdump() -> str | None:
    own = _ROOT / ".venv-mitmproxy" / "bin" / "mitmdump"
    return str(own) if own.exists() else program("mitmdump")


class Mitmproxy(Peer):
    """mitmdump, quiet, streaming what is no page."""

    name = MITMPROXY
    share = 0.1

    @classmethod
    def missing(cls) -> str:
        """mitmproxy itself."""
        return "" if _mitmdump() else "the program mitmdump"

    @classmethod
    def version(cls) -> str:
        """The version that the program prints."""
        command = [_mitmdump() or "", "--version"]
        output = subprocess.run(command, capture_output=True, text=True, check=False).stdout.split()
        return output[1] if len(output) > 1 else ""

    def command(self) -> list[str]:
        """With the addon and a folder of its own for its certificates."""
        mitmdump = _mitmdump()
        assert mitmdump is not None
        return [
            *("env", f"NOT_CAPTURED={NOT_CAPTURED}", mitmdump, "--quiet"),
            *("--set", f"confdir={self.folder}", "--set", "keep_host_header=true"),
            *("--mode", f"reverse:http://127.0.0.1:{self.origin_port}"),
            *("--listen-host", "127.0.0.1", "--listen-port", str(self.port), "--scripts", str(_ADDON)),
        ]

    def copy(self, token: str) -> bytes:
        """Unsigned, from the addon."""
        return self.get(f"/_lbc/page/{token}", {})
