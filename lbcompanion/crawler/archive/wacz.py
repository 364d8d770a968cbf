"""Writes a WACZ 1.1.1 file: a ZIP with a WARC, its index, a list of pages, and the digests of all of them."""

from __future__ import annotations

import gzip
import hashlib
import json
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, BinaryIO, cast
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

from attrs import frozen

from lbcompanion import __version__
from lbcompanion.crawler.archive.cdxj import IndexLine, SortedLines, index_lines
from lbcompanion.crawler.archive.export import Export, PageRecords
from lbcompanion.html.page_title import page_title
from lbcompanion.model import from_rfc3339

#: The name of the WARC file within the WACZ file.
WARC_NAME = "pages.warc.gz"
_INDEX_NAME = "index.cdx.gz"
#: How many lines of the index a player fetches at once.
_BLOCK_LINES = 2048


@frozen
class _Resource:
    path: str
    digest: str
    size: int


class WaczWriter:
    """Writes one WACZ file.

    :param out: where it is written.
    :param now: seconds since the epoch, for the times in the file.
    """

    def __init__(self, out: BinaryIO, now: float) -> None:
        self._zip = ZipFile(out, "w")
        self._now = datetime.fromtimestamp(now, UTC)
        self._resources: list[_Resource] = []

    def write(self, export: Export) -> Iterator[PageRecords]:
        """Write all pages of an export, and return each page when it is written.

        :raises ExportFailed: if a page cannot be read.
        """
        lines = SortedLines()
        with self._zip, tempfile.TemporaryFile() as pages:
            pages.write(_json_line({"format": "json-pages-1.0", "id": "pages", "title": "Pages", "hasText": False}))
            with self._part(f"archive/{WARC_NAME}", ZIP_STORED) as warc:
                for page in export.write_warc(cast(BinaryIO, warc), WARC_NAME):
                    lines.extend(index_lines(page.records, WARC_NAME))
                    pages.write(_json_line(_listed(page)))
                    yield page
            self._write_index(lines)
            with self._part("pages/pages.jsonl", ZIP_DEFLATED) as part:
                pages.seek(0)
                while chunk := pages.read(1 << 20):
                    part.write(chunk)
            self._write_package()
        lines.close()

    @contextmanager
    def _part(self, path: str, compression: int) -> Iterator[_Digesting]:
        info = ZipInfo(path, self._now.timetuple()[:6])
        info.compress_type = compression
        is_large = compression == ZIP_STORED
        if is_large:
            # ReplayWeb.page looks for the fields of the local header, such as ZIP64's, only if the directory has some.
            info.extra = struct.pack("<HHBL", 0x5455, 5, 1, int(self._now.timestamp()) & 0xFFFFFFFF)  # time of change
        with self._zip.open(info, "w", force_zip64=is_large) as stream:
            part = _Digesting(stream)
            yield part
        self._resources.append(_Resource(path, part.digest, part.size))

    def _write_index(self, lines: SortedLines) -> None:
        """Write the index in blocks of gzip, and the list of blocks."""
        blocks = [b"!meta 0 " + _json_line({"format": "cdxj-gzip-1.0", "filename": _INDEX_NAME})]
        with self._part(f"indexes/{_INDEX_NAME}", ZIP_STORED) as index:
            for first, text in _blocks(lines):
                data = gzip.compress(text, mtime=0)
                digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
                entry = {"offset": index.size, "length": len(data), "digest": digest}
                blocks.append(f"{first.key} {first.time} ".encode() + _json_line(entry))
                index.write(data)
        with self._part("indexes/index.idx", ZIP_DEFLATED) as part:
            for block in blocks:
                part.write(block)

    def _write_package(self) -> None:
        package = json.dumps(
            {
                "profile": "data-package",
                "wacz_version": "1.1.1",
                "software": f"lbcompanion/{__version__}",
                "created": f"{self._now:%Y-%m-%dT%H:%M:%SZ}",
                "resources": [
                    {
                        "name": each.path.rpartition("/")[2].lower(),
                        "path": each.path,
                        "hash": each.digest,
                        "bytes": each.size,
                    }
                    for each in self._resources
                ],
            },
            indent=2,
        ).encode()
        with self._part("datapackage.json", ZIP_DEFLATED) as part:
            part.write(package)
        digest = {"path": "datapackage.json", "hash": self._resources[-1].digest}
        with self._part("datapackage-digest.json", ZIP_DEFLATED) as part:
            part.write(_json_line(digest))


class _Digesting:
    """Counts and digests the bytes that are written to a stream."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._found = hashlib.sha256()
        self.size = 0

    def write(self, data: bytes) -> int:
        self._found.update(data)
        self.size += len(data)
        return self._stream.write(data)

    @property
    def digest(self) -> str:
        return f"sha256:{self._found.hexdigest()}"


def _blocks(lines: Iterable[IndexLine]) -> Iterator[tuple[IndexLine, bytes]]:
    """Return the blocks of the index, each with its first line.

    Lines of one address, whatever their queries, are in one block: a player that looks for the answer to a form looks
    through the block where the address without the form's method would be.
    """
    block: list[IndexLine] = []
    for line in lines:
        if len(block) >= _BLOCK_LINES and line.key.partition("?")[0] != block[-1].key.partition("?")[0]:
            yield block[0], "".join(each.text for each in block).encode("ascii")
            block = []
        block.append(line)
    if block:
        yield block[0], "".join(each.text for each in block).encode("ascii")


def _listed(page: PageRecords) -> dict[str, str]:
    """Return the entry in the list of pages. Its address is the one that players use to find the page's record."""
    record = page.page
    address = record.url
    if page.method != "GET":
        address += f"{'&' if '?' in address else '?'}__wb_method={page.method}&"
    moment = datetime.fromtimestamp(from_rfc3339(record.date), UTC)
    entry = {
        "id": record.record_id.removeprefix("<urn:uuid:").rstrip(">"),
        "url": address,
        "ts": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
    }
    title = page_title(page.body, record.http_fields.get("content-type", ""))
    return {**entry, "title": title} if title else entry


def _json_line(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode() + b"\n"
