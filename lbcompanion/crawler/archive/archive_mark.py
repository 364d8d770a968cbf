"""The mark that an archive's folder and its queue have in common, which shows a queue that is older than the archive.

Bytes of an archive file that the queue does not know are what a crash left behind, and are cut off. A queue that was
copied, or restored from a backup, does not know the pages that were archived since: these must not be cut off. So the
crawler renews the mark in both places at each start and each stop, and every few minutes while it runs. If the marks
differ, whole records that the queue does not know stay, and the crawler goes on in a new file. So both queues have
all their pages, the older and the newer one.
"""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path

from lbcompanion.crawler.archive.durable_files import sync_folder
from lbcompanion.crawler.archive.warc_reader import UnreadableRecord, start_of_record, stored_records
from lbcompanion.crawler.queue.archive_index import ArchiveIndex

NAME = ".crawler.mark"
#: How long the mark of a running crawler stays the same.
RENEW_SECONDS = 300.0


class ArchiveMark:
    """The mark of one crawler's archive."""

    def __init__(self, folder: Path, index: ArchiveIndex) -> None:
        self._path = folder / NAME
        self._index = index

    def fits(self) -> bool:
        """Whether the queue is the one that was used with this folder last, in its newest state.

        It is so too if the folder has no mark: an earlier version wrote it, or nothing did.

        :raises OSError: if the mark cannot be read.
        :raises BacklogError: if the database fails.
        """
        try:
            marks = self._path.read_text(encoding="ascii").split()
        except FileNotFoundError:
            return True
        return self._index.mark() in marks

    def renew(self) -> None:
        """Write another mark into both places. A full disk leaves the earlier one.

        :raises BacklogError: if the database fails; the folder then has both marks.
        """
        mark = secrets.token_hex(16)
        # With both marks in the folder, a crash at any moment leaves one there that the queue has.
        if self._write(self._index.mark(), mark):
            self._index.set_mark(mark)
            self._write(mark)

    def _write(self, *marks: str) -> bool:
        temporary = self._path.with_suffix(".new")
        try:
            descriptor = os.open(temporary, os.O_CREAT | os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write("".join(f"{mark}\n" for mark in marks))
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
            sync_folder(self._path.parent)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            return False
        return True


def end_of_records(path: Path) -> int:
    """Return where the last whole record of a file ends; what follows it is a part of one.

    Damaged records before it are passed over.

    :raises OSError: if the file cannot be read.
    """
    end = start = 0
    with path.open("rb") as file:
        while start >= 0:
            file.seek(start)
            try:
                for record in stored_records(file):
                    end = record.offset + record.length
                return end
            except UnreadableRecord:
                start = start_of_record(file, max(start, end) + 1)
    return end
