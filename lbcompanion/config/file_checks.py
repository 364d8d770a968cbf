"""Checks of folders and files: whether they can be used. Nothing is created."""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from lbcompanion import checks
from lbcompanion.checks import Check
from lbcompanion.errors import InvalidValue

_FOLDER = "a folder that can be written to, or one that can be made"
_DATABASE = "sqlite:///FILE, with an SQLite database that can be written to, or a file that can be made"
_SQLITE_START = b"SQLite format 3\0"


def folder(value: object, base: Path) -> Path:
    """Check the path of a folder that is written to.

    :raises InvalidValue: if it cannot be a folder, or cannot be written to.
    """
    path = checks.path(value, base)
    if why := _not_writable(path):
        raise InvalidValue(_FOLDER, f'"{path}" ({why})')
    return path


def database_url(check: Check) -> Check:
    """Make a check for the URL of a database that also checks the file of an SQLite database."""

    def check_both(value: object, base: Path) -> str:
        url: str = check(value, base)
        if url.startswith("sqlite:///"):
            file = Path(url.removeprefix("sqlite:///"))
            if why := _no_database(file):
                raise InvalidValue(_DATABASE, f'"{file}" ({why})')
        return url

    return check_both


def _no_database(file: Path) -> str:
    """Why a file cannot be used as an SQLite database; empty if it can."""
    if why := _not_writable(file.parent):
        return why
    try:
        if not file.exists():
            return ""
        # A named pipe is not opened: that waits for its writer.
        if not file.is_file():
            return "a folder" if file.is_dir() else "not a file"
        with file.open("rb") as opened:
            start = opened.read(len(_SQLITE_START))
    except OSError as error:
        return error.strerror or "not readable"
    if start and start != _SQLITE_START:
        why = "not an SQLite database"
    elif not os.access(file, os.W_OK):
        why = "not writable"
    return why


def _not_writable(path: Path) -> str:
    """Why a folder cannot be used; empty if it can."""
    try:
        existing = next(parent for parent in (path, *path.parents) if os.path.lexists(parent))
        if not existing.is_dir():
            return "not a folder" if existing == path else f"{existing} is not a folder"
    except OSError as error:
        return error.strerror or "not readable"
    if not os.access(existing, os.W_OK | os.X_OK):
        return "not writable" if existing == path else f"{existing} is not writable"
    return ""


_OF_OTHERS = stat.S_IRGRP | stat.S_IROTH | stat.S_IWGRP | stat.S_IWOTH


def open_to_others(file: Path) -> str:
    """The mode of a file that its group or others can read or write, such as ``0644``; empty for any other file."""
    try:
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError:
        return ""
    return f"{mode:04o}" if mode & _OF_OTHERS else ""


def secret_file_warnings(files: Mapping[str, Path | None]) -> list[tuple[str, str]]:
    """Return a warning for each key whose file holds a secret that others can read, or replace by their own."""
    found = []
    for key, file in files.items():
        if file is not None and (mode := open_to_others(file)):
            found.append(
                (key, f'"{file}" can be read or written by its group or by all (mode {mode}); right would be mode 0600')
            )
    return found
