"""Writes the index of a closed archive file, in CDXJ, beside the file.

Heads are read without warcio, which takes several times as long, and payloads are not read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

from lbcompanion.crawler.archive.cdxj import SortedLines, index_lines
from lbcompanion.crawler.archive.durable_files import sync_folder
from lbcompanion.crawler.archive.warc_reader import StoredRecord, UnreadableRecord, plain_records

_SUFFIX = ".warc.gz"
INDEX_SUFFIX = ".cdxj"


def index_name(name: str) -> str:
    """Return the name of a file's index."""
    return name.removesuffix(_SUFFIX) + INDEX_SUFFIX


def index_path(path: Path) -> Path:
    """Return the path of a file's index."""
    return path.with_name(index_name(path.name))


def write_index(path: Path, check: Callable[[], None] = lambda: None) -> None:
    """Write the index of a file; it appears under its name when it is whole, readable by its owner only.

    :param check: called from time to time; what it raises ends the writing.
    :raises UnreadableRecord: if the file is damaged.
    :raises OSError: if the file cannot be read, or the index not be written.
    """
    lines, unfinished = SortedLines(), _unfinished(path)
    descriptor = os.open(unfinished, os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii", newline="\n") as out:
            with path.open("rb") as stream:
                for number, line in enumerate(index_lines(_records(stream), path.name)):
                    if number % 100 == 0:
                        check()
                    lines.add(line)
            for line in lines:
                out.write(line.text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(unfinished, index_path(path))
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    finally:
        lines.close()
    sync_folder(path.parent)


def remove_index(path: Path) -> None:
    """Remove the index of a file, and what a crash left of one; a missing one is no error.

    :raises OSError: if it cannot be removed.
    """
    for each in (index_path(path), _unfinished(path)):
        each.unlink(missing_ok=True)


def _unfinished(path: Path) -> Path:
    return path.with_name(f"{index_name(path.name)}.part")


def _records(stream: BinaryIO) -> Iterator[StoredRecord]:
    for plain, offset, length in plain_records(stream):
        head, separator, block = plain.partition(b"\r\n\r\n")
        if not separator or not head.startswith(b"WARC/"):
            raise UnreadableRecord(f"no record can be read at byte {offset}")
        fields = _fields(head)
        kind = fields.get("warc-type", "")
        http = _http_head(block, kind) if kind in ("response", "revisit", "request") else {}
        yield StoredRecord(offset, length, kind, fields, **http)


def _http_head(block: bytes, kind: str) -> dict[str, Any]:
    head = block.partition(b"\r\n\r\n")[0]
    words = head.partition(b"\r\n")[0].decode("latin-1").split(" ")
    if kind == "request":
        return {"method": words[0]}
    status = words[1] if len(words) > 1 else ""
    return {"status": int(status) if status.isascii() and status.isdigit() else 0, "http_fields": _fields(head)}


def _fields(head: bytes) -> dict[str, str]:
    """Read the fields of a head by their names in lower case; of repeated ones the first."""
    found: dict[str, str] = {}
    for line in head.decode("utf-8", "replace").split("\r\n")[1:]:
        name, _, value = line.partition(":")
        found.setdefault(name.lower(), value.strip(" \t"))
    return found
