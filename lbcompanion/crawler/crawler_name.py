"""The crawler's name: it identifies the crawler at a queue, and it is part of the names of its archive files."""

from __future__ import annotations

import os
import re
import socket
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lbcompanion.errors import CompanionError
from lbcompanion.model import CRAWLER_NAME
from lbcompanion.settings import CrawlerTable

_FILE = "crawler-name"
_ARCHIVE_FILE = re.compile(r"lbc-(.+)-\d{14}-\d{4,}(?:-e\d+)?\.warc\.gz", re.ASCII)
_FILE_NAME = re.compile(r"[A-Za-z0-9._-]+\.warc\.gz", re.ASCII)
_OTHER = re.compile(r"[^A-Za-z0-9._-]+", re.ASCII)


class BadFileName(CompanionError):
    """The queue has a name of an archive file that may lead out of the archive's folder."""


def crawler_name(settings: CrawlerTable, host_name: Callable[[], str] = socket.gethostname) -> str:
    """Return ``[crawler] name``; where it is empty, the name of an earlier start, or else one from the host's name."""
    return settings.name or _remembered(settings.state_dir) or name_from_host(host_name())


def name_from_host(host: str) -> str:
    """Return a valid name for a host: its first label, with other characters than the allowed ones replaced by -."""
    return _OTHER.sub("-", host.partition(".")[0])[:64].strip("-") or "crawler"


def archive_file_name(crawler: str, stamp: str, serial: int) -> str:
    """Return the name of an archive file.

    :param stamp: the time as YYYYMMDDhhmmss.
    """
    return f"lbc-{crawler}-{stamp}-{serial:04d}.warc.gz"


def crawler_of_file(name: str) -> str:
    """Return the crawler that wrote an archive file; empty for the files of earlier versions."""
    found = _ARCHIVE_FILE.fullmatch(name)
    return found[1] if found else ""


def path_in_archive(folder: Path, name: str) -> Path:
    """Return the path of an archive file.

    Names come from the queue's database, which other machines can write. A name with a path in it would let them read,
    shorten or remove any file of this machine.

    :raises BadFileName: if it is no name of an archive file.
    """
    if not _FILE_NAME.fullmatch(name):
        raise BadFileName(
            f"the queue names the archive file {name[:100]!a}; allowed are A-Z a-z 0-9 . _ - and .warc.gz at the end"
        )
    return folder / name


def remember(name: str, state_dir: Path) -> None:
    """Store the name in the state directory: the host name of a container may be another one at each start.

    :raises OSError: if it cannot be stored.
    """
    if _remembered(state_dir) == name:
        return
    descriptor, temporary = tempfile.mkstemp(prefix=f".{_FILE}-", dir=state_dir)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(name + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, state_dir / _FILE)
    except OSError:
        with suppress(OSError):
            os.unlink(temporary)
        raise


def _remembered(state_dir: Path) -> str:
    try:
        name = (state_dir / _FILE).read_bytes()[:100].decode("latin-1").strip()
    except OSError:
        return ""
    return name if CRAWLER_NAME.fullmatch(name) else ""
