"""Writes the index of a WARC file in CDXJ: a line for each record that can be shown, sorted by the address's key.

The key is the SURT form of the address, as cdxj-indexer and pywb write it: in lower case, the host's labels reversed,
the arguments of the query sorted. A page whose method was not GET has the method in its key (``__wb_method=POST``).
"""

from __future__ import annotations

import heapq
import json
import posixpath
import re
import tempfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import IO

from attrs import frozen

from lbcompanion.crawler.archive.warc_reader import StoredRecord
from lbcompanion.model import from_rfc3339

_PARTS = re.compile(
    r"(?P<scheme>https?)://(?:[^/?#@]*@)?(?P<host>\[[^\]/]*\]|[^/?#:]*)(?::(?P<port>\d*))?"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?(?:#.*)?",
    re.DOTALL,
)
#: How many lines are sorted in memory.
_SORTED_LINES = 100_000
_WWW = re.compile(r"^www\d*\.")
_ESCAPED = re.compile(r"%([0-9A-Fa-f]{2})")
_DEFAULT_PORTS = {"http": "80", "https": "443"}
_SHOWN_KINDS = frozenset({"response", "revisit", "resource"})


@frozen(order=True)
class IndexLine:
    """One line of the index; lines are sorted by key and time.

    :ivar key: of the address.
    :ivar time: 17 digits: a time with milliseconds, because a revisit refers to its original by the exact time.
    :ivar values: JSON.
    """

    key: str
    time: str
    values: str

    @property
    def text(self) -> str:
        """The line, with its end."""
        return f"{self.key} {self.time} {self.values}\n"


class SortedLines:
    """Sorts lines; above a number they are kept in temporary files."""

    def __init__(self) -> None:
        self._lines: list[IndexLine] = []
        self._files: list[IO[str]] = []

    def add(self, line: IndexLine) -> None:
        """Add one line."""
        self._lines.append(line)
        if len(self._lines) >= _SORTED_LINES:
            file = tempfile.TemporaryFile("w+", encoding="ascii")  # noqa: SIM115 - closed by close
            file.writelines(each.text for each in sorted(self._lines))
            self._files.append(file)
            self._lines = []

    def extend(self, lines: Iterable[IndexLine]) -> None:
        """Add lines."""
        for line in lines:
            self.add(line)

    def __iter__(self) -> Iterator[IndexLine]:
        return heapq.merge(*map(_stored_lines, self._files), iter(sorted(self._lines)))

    def close(self) -> None:
        """Remove the temporary files."""
        for file in self._files:
            file.close()


def _stored_lines(file: IO[str]) -> Iterator[IndexLine]:
    file.seek(0)
    for text in file:
        yield IndexLine(*text.rstrip("\n").split(" ", 2))


def index_lines(records: Iterable[StoredRecord], filename: str) -> Iterator[IndexLine]:
    """Return a line for each response and revisit, in the order of the records.

    :param records: in the order of the file: a page's request follows its record.
    """
    previous: StoredRecord | None = None
    for record in records:
        if previous is not None:
            is_its_request = record.kind == "request" and record.fields.get("warc-concurrent-to") == previous.record_id
            yield index_line(previous, filename, record.method if is_its_request else "GET")
        previous = record if record.kind in _SHOWN_KINDS else None
    if previous is not None:
        yield index_line(previous, filename, "GET")


def index_line(record: StoredRecord, filename: str, method: str) -> IndexLine:
    """Return the line of one record.

    :param method: of the request that the record answers.
    """
    values = {"url": record.url}
    mime = "warc/revisit" if record.kind == "revisit" else record.http_fields.get("content-type", "")
    if mime:
        values["mime"] = re.split(r"[;\s]", mime, maxsplit=1)[0]
    values |= {
        "status": str(record.status),
        "digest": record.payload_digest,
        "length": str(record.length),
        "offset": str(record.offset),
        "filename": filename,
    }
    address = record.url
    if method != "GET":
        values |= {"method": method, "requestBody": ""}
        address = f"{record.url}{'&' if '?' in record.url else '?'}__wb_method={method}"
    return IndexLine(url_key(address), digits(record.date), json.dumps(values))


def digits(date: str) -> str:
    """Return a time of RFC 3339 as 17 digits in UTC, cut to milliseconds."""
    moment = datetime.fromtimestamp(from_rfc3339(date), UTC)
    return f"{moment:%Y%m%d%H%M%S}{moment.microsecond // 1000:03d}"


def url_key(url: str) -> str:
    """Return the SURT form of an http or https URL in printable ASCII."""
    parts = _PARTS.fullmatch(url.lower())
    if parts is None:
        return url
    host = _WWW.sub("", parts["host"].strip("[].") if parts["host"].startswith("[") else parts["host"].strip("."))
    port = parts["port"] or ""
    shown_port = f":{port}" if port not in ("", _DEFAULT_PORTS[parts["scheme"]]) else ""
    path = posixpath.normpath(re.sub("/+", "/", _normalized(parts["path"] or "/")))
    arguments = "&".join(sorted(_normalized(parts["query"] or "").split("&")))
    return f"{','.join(reversed(host.split('.')))}{shown_port}){path}{'?' if arguments else ''}{arguments}"


def _normalized(text: str) -> str:
    """Decode characters of ASCII that need no escape, and write the other escapes in lower case."""

    def decoded(found: re.Match[str]) -> str:
        char = chr(int(found[1], 16))
        return char.lower() if "!" <= char <= "~" and char not in "%#" else found[0].lower()

    return _ESCAPED.sub(decoded, text)
