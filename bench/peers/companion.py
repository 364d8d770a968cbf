"""This project's companion: the whole node with its defaults, as ``lbcompanion node`` runs it."""

from __future__ import annotations

import json
import secrets
import time

from bench.certificate import CERTIFICATE, KEY
from bench.peers.interface import Peer
from bench.targets import COMPANION
from bench.workload import HOST, NOT_CAPTURED
from lbcompanion.http1.field_lines import compiled
from lbcompanion.http1.usual_heads import compiled_usual
from lbcompanion.protocol.signatures import Signer

_CONFIGURATION = """\
[node]
name = "n1"
workers = {workers}
listen = {listen}
{node}
upstream = "tcp:127.0.0.1:{origin_port}"
secret_file = "farm.secret"
state_dir = "state"
admin = "tcp:{admin_port}:interface=127.0.0.1"

[capture]
exclude = {exclude}
{capture}

{further}
"""

_MAIN = "import sys; from lbcompanion.cli import main; sys.exit(main())"


class Companion(Peer):
    """Capture with masks and excluded blocks, injection, memory store, admin listener, notices: all on."""

    name = COMPANION
    takes_tls = takes_closing = takes_workers = True

    @classmethod
    def missing(cls) -> str:
        """Do nothing: it is installed."""
        return ""

    def further(self) -> str:
        """Return further tables of the configuration."""
        return ""

    def not_captured(self) -> list[str]:
        """Return the paths that are not captured."""
        return [f"{NOT_CAPTURED}**"]

    def further_node(self) -> str:
        """Return further lines of ``[node]``."""
        return ""

    def further_capture(self) -> str:
        """Return further lines of ``[capture]``."""
        return ""

    def command(self) -> list[str]:
        """The command of the project, run by this very Python."""
        listen = [f"tcp:{self.port}:interface=127.0.0.1"]
        if self.tls_port:
            listen.append(f"ssl:{self.tls_port}:interface=127.0.0.1:privateKey={KEY}:certKey={CERTIFICATE}")
        self._secret = secrets.token_hex(32)
        (self.folder / "farm.secret").write_text(self._secret)
        configuration = _CONFIGURATION.format(
            workers=self.workers,
            # What JSON writes is a list of TOML as well.
            listen=json.dumps(listen),
            origin_port=self.origin_port,
            admin_port=self.admin_port,
            exclude=json.dumps(self.not_captured()),
            capture=self.further_capture(),
            node=self.further_node(),
            further=self.further(),
        )
        (self.folder / "n1.toml").write_text(configuration)
        return self.python_command("-c", _MAIN, "node", "--config", "n1.toml")

    def copy(self, token: str) -> bytes:
        """Fetch it as the crawler does, signed."""
        path = f"/_lbc/page/{token}"
        signed = Signer(self._secret.encode()).sign("GET", f"http://{HOST}{path}", secrets.token_hex(16), time.time())
        return self.get(path, dict(signed))


class CompanionMachine(Companion):
    """The companion without the usual path: all messages take the general way."""

    name = f"{COMPANION}, usual path off"
    takes_workers = False

    @classmethod
    def missing(cls) -> str:
        """The compiled part: without it this is no other than the first."""
        return "" if compiled_usual() is not None else "the compiled part of the usual path"

    def command(self) -> list[str]:
        """Turned off by the environment."""
        return ["env", "LBC_USUAL_PATH=off", *super().command()]


class CompanionInPython(Companion):
    """The companion without any compiled reader."""

    name = f"{COMPANION}, heads read in Python"
    takes_tls = takes_closing = takes_workers = False

    @classmethod
    def missing(cls) -> str:
        """The compiled reader: without it this is no other than the first."""
        return "" if compiled() is not None else "the compiled reader of heads"

    def command(self) -> list[str]:
        """Told by the environment."""
        return ["env", "LBC_READER=python", *super().command()]
