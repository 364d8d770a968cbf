"""The ``export`` command: opens queue and archive for reading, and writes the files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

from attrs import frozen

from lbcompanion.crawler.archive.cdxj import IndexLine, index_lines
from lbcompanion.crawler.archive.export import Export, ExportFailed, PageRecords, new_file
from lbcompanion.crawler.archive.reading import ArchiveReader
from lbcompanion.crawler.archive.wacz import WaczWriter
from lbcompanion.crawler.queue.archive_index import ArchiveIndex
from lbcompanion.crawler.queue.database import Database, open_engine, queue_file
from lbcompanion.crawler.queue.filters import Filters
from lbcompanion.settings import CrawlerTable


@frozen
class Exported:
    """The counts of one export."""

    pages: int
    records: int
    size: int


def export_pages(
    settings: CrawlerTable,
    filters: Filters,
    *,
    wacz: Path | None = None,
    warc: Path | None = None,
    cdxj: Path | None = None,
    now: float,
) -> Exported:
    """Write a WACZ file, or a WARC file and, if wanted, its index.

    :raises ExportFailed: if no page is selected, or a file cannot be read or written; then there is no new file.
    """
    queue = queue_file(settings.queue)
    if queue is not None and not queue.is_file():
        raise ExportFailed(f"there is no queue at {queue}; the crawler has not been started yet")
    target = wacz or warc
    if target is None:
        raise ExportFailed("no file is named")
    if cdxj is not None and cdxj.resolve() == target.resolve():
        raise ExportFailed(f"{cdxj}: the index needs a file of its own")
    database = Database(open_engine(settings.queue))
    database.open()
    is_there = False
    try:
        reader = ArchiveReader(settings.archive_dir, ArchiveIndex(database))
        export = Export(database, reader, filters)
        with ExitStack() as stack:
            index = stack.enter_context(new_file(cdxj)) if cdxj is not None else None
            with new_file(target) as out:
                pages = WaczWriter(out, now).write(export) if wacz else _write_warc(export, out, target.name, index)
                written = [len(page.records) for page in pages]
                if not written:
                    raise ExportFailed("no archived page fulfils the conditions")
                exported = Exported(len(written), sum(written), out.seek(0, 2))
            is_there = True
        return exported
    except BaseException:
        # The index could not be written. One file without the other is of no use.
        if is_there:
            target.unlink(missing_ok=True)
        raise
    finally:
        database.close()


def _write_warc(export: Export, out: BinaryIO, name: str, index: BinaryIO | None) -> Iterator[PageRecords]:
    lines: list[IndexLine] = []
    for page in export.write_warc(out, name):
        if index is not None:
            lines.extend(index_lines(page.records, name))
        yield page
    if index is not None:
        for line in sorted(lines):
            index.write(line.text.encode("ascii"))
