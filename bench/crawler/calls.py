"""Counts the syncs and the connections of a process from outside, with a small preloaded library."""

from __future__ import annotations

import shutil
import struct
import subprocess
from pathlib import Path

from attrs import frozen

from bench.peers.interface import PeerFailed

_SOURCE = Path(__file__).with_name("calls.c")
_LAYOUT = struct.Struct("@LL")


@frozen
class Calls:
    """Numbers of calls since the start of a process.

    :ivar syncs: of ``fsync`` and ``fdatasync``.
    :ivar connections: of ``connect`` over TCP.
    """

    syncs: int
    connections: int

    def since(self, before: Calls) -> Calls:
        """Return the difference."""
        return Calls(self.syncs - before.syncs, self.connections - before.connections)


class CallCounter:
    """Counts for the processes that are started with :attr:`environment`.

    :param library: made by :func:`build`.
    :param file: where the numbers are kept.
    """

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        file.write_bytes(bytes(_LAYOUT.size))
        self.environment = {"LD_PRELOAD": str(library), "LBC_CALLS": str(file)}

    def read(self) -> Calls:
        """Return the numbers so far."""
        return Calls(*_LAYOUT.unpack(self._file.read_bytes()[: _LAYOUT.size]))


def build(folder: Path) -> Path:
    """Compile the library.

    :raises PeerFailed: if there is no C compiler, or it fails.
    """
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise PeerFailed("a C compiler is needed to count syncs and connections; install gcc")
    library = folder / "calls.so"
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), str(_SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise PeerFailed(f"the library that counts calls does not compile:\n{done.stderr[-1000:]}")
    return library
