"""Describes a balancer that runs as a program of its own."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from attrs import frozen

from lbcompanion.demo.backends import Backend

#: Where distributions put such programs, in folders that an ordinary user's PATH leaves out.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin")


@frozen
class BalancerProgram:
    """A balancer that is a program.

    :ivar program: the program's name.
    :ivar label: the balancer as the demo's texts name it.
    :ivar dialect: the dialect of its cookie.
    :ivar configuration: the text of its configuration file: for a port on loopback, the backends, the cookie's name.
    :ivar command: how it is run in the foreground: the program's path, the file's path.
    """

    program: str
    label: str
    dialect: str
    configuration: Callable[[int, Sequence[Backend], str], str]
    command: Callable[[str, Path], list[str]]


def find_program(name: str) -> str | None:
    """Return a program's path; None if it is not installed."""
    return shutil.which(name) or next(
        (found for folder in _FOLDERS if (found := shutil.which(name, path=folder))), None
    )
