"""The floor: a relay in C that makes the system calls of a proxy, and does nothing else."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import ClassVar

from bench.peers.interface import Peer, PeerFailed, program
from bench.targets import FLOOR

_SOURCE = Path(__file__).with_name("relay.c")


class Relay(Peer):
    """One process of ``relay.c``, compiled for the run. No proxy can cost less."""

    name = FLOOR
    tagged: ClassVar[bool] = False
    takes_streams: ClassVar[bool] = False
    takes_closing: ClassVar[bool] = True

    @classmethod
    def missing(cls) -> str:
        """A C compiler."""
        return "" if program("cc") else "a C compiler"

    def command(self) -> list[str]:
        """Compile it; the command that runs it."""
        compiled = self.folder / "relay"
        made = subprocess.run(["cc", "-O2", "-o", compiled, _SOURCE], capture_output=True, text=True, check=False)
        if made.returncode:
            raise PeerFailed(f"{self.name} could not be compiled: {made.stderr}")
        return [str(compiled), str(self.port), str(self.origin_port)]
