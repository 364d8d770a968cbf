"""Rewrites archive files without the records of erased recordings.

All other records keep their bytes, except some revisits. A payload whose record is erased moves to the first revisit
that refers to it, which becomes a response; further revisits then refer to that one.
"""

from __future__ import annotations

from base64 import b32decode
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from io import BytesIO
from typing import BinaryIO

from attrs import define, evolve, frozen

from lbcompanion.crawler.archive.warc_records import warc_digest
from lbcompanion.crawler.erasure.file_search import ErasedFiles, is_file_record
from lbcompanion.crawler.erasure.warc_members import Member, Record, member_at, members, read_record
from lbcompanion.crawler.queue.file_replacement import FileRow, MovedPayload, Replacement
from lbcompanion.crawler.queue.payload_places import Payload, Reference
from lbcompanion.errors import CompanionError
from lbcompanion.protocol import headers

NO_FILES = ErasedFiles()
_NODE = headers.NODE.text.lower()
_COPY_BYTES = 1 << 20
#: Added to the offset of a record that the damaged file did not have: nothing can be read there.
_BEYOND = 1 << 40


class RewritingStopped(CompanionError):
    """The crawler stops; the file is not written to its end."""


@frozen
class _Key:
    """The fields of a revisit that refer to another record."""

    url: str
    date: str
    digest: str


@define
class _ErasedPayload:
    """A payload whose record is erased.

    :ivar file: where the erased record is.
    :ivar new_record: the record that has the payload now; None as long as no revisit needs it.
    """

    file: str
    offset: int
    length: int
    new_record: Record | None = None
    new_record_file: str = ""
    new_offset: int = 0


@define
class _Piece:
    """Bytes that stay together: where they were, and where they are now.

    :ivar length: in the new file.
    :ivar is_written: whether they are in the new file yet.
    """

    old: int
    new: int
    length: int
    is_written: bool = False


class Rewriter:
    """Rewrites a set of files: one with erased records, and then those that refer to payloads of these records.

    :param open_file: opens a file of the archive for reading.
    :param is_stopped: asked before each record.
    """

    def __init__(self, open_file: Callable[[str], BinaryIO], is_stopped: Callable[[], bool] = lambda: False) -> None:
        self._open_file = open_file
        self._is_stopped = is_stopped
        self._erased_payloads: dict[_Key, _ErasedPayload] = {}
        self._open_now: tuple[str, BinaryIO] = ("", BytesIO())
        #: The targets of the revisits that stay, by the file with the revisits.
        self._targets: dict[str, set[_Key]] = {}
        #: Files that were opened again for their payloads.
        self._sources: dict[str, BinaryIO] = {}
        self._opened = ExitStack()

    def rewrite(
        self,
        name: str,
        size: int,
        rows: list[FileRow],
        draft: str,
        target: BinaryIO,
        erased_files: ErasedFiles = NO_FILES,
    ) -> Replacement | None:
        """Write one file.

        :param size: of the file, in bytes.
        :param rows: its recordings, in the order of their records.
        :param draft: the successor's name.
        :param target: the successor, for writing.
        :param erased_files: files that are erased although their pages stay.
        :returns: what changes; None if nothing does.
        :raises OSError: if the file cannot be read, or the successor not be written.
        """
        with self._open_file(name) as source:
            self._open_now = name, source
            return _OneFile(self, name, source, size, rows, draft, target, erased_files).run()

    def moved_payloads(self, files: set[str]) -> list[MovedPayload]:
        """Return the new places, in these files, of payloads whose first record was removed."""
        found = []
        for key, moved in self._erased_payloads.items():
            if moved.new_record is not None and moved.new_record_file in files:
                url, date = moved.new_record.get("warc-target-uri"), moved.new_record.get("warc-date")
                digest = _hexadecimal(key.digest)
                found.append(MovedPayload(moved.new_record_file, digest, url, date, moved.new_offset))
        return found

    def note_erased_payloads(self, name: str, offsets: Iterable[int]) -> None:
        """Note some erased records of a file that is removed as a whole."""
        with self._open_file(name) as source:
            for offset in offsets:
                member = member_at(source, offset)
                record = None if member is None else read_record(member.plain)
                if member is not None and record is not None:
                    self.note_erased(record, name, member)

    def references(self, before: Iterable[Reference], files: Mapping[str, Replacement]) -> list[Reference]:
        """Return the references between files after the replacement of some of them.

        :param before: all references from or to these files.
        :param files: the replacements, by the names of the files.
        """
        found = (self._reference(each, files) for each in before)
        return [each for each in found if each is not None]

    def _reference(self, before: Reference, files: Mapping[str, Replacement]) -> Reference | None:
        """Return what takes the place of a reference; None: no revisit needs it any more."""
        own, payload = files.get(before.file), before.payload
        key = _Key(payload.url, payload.date, warc_digest(bytes.fromhex(payload.sha256)))
        file = before.file if own is None else own.new
        if not file or key not in self._targets.get(before.file, {key}):
            return None
        moved = self._erased_payloads.get(key)
        if moved is not None and moved.file == payload.file:
            if moved.new_record is None or moved.new_record_file in ("", file):
                return None
            url, date = moved.new_record.get("warc-target-uri"), moved.new_record.get("warc-date")
            return Reference(file, Payload(payload.sha256, url, date, moved.new_record_file, moved.new_offset))
        target = files.get(payload.file)
        if target is None:
            return Reference(file, payload)
        if not target.new:
            return None
        return Reference(file, evolve(payload, file=target.new, offset=target.moved_to(payload.offset)))

    def close(self) -> None:
        """Close the files that were opened for their payloads."""
        self._opened.close()

    def begin(self, name: str) -> None:
        """Begin to note the targets of a file's revisits."""
        self._targets[name] = set()

    def check_stopped(self) -> None:
        """Raise :class:`RewritingStopped` if the crawler stops."""
        if self._is_stopped():
            raise RewritingStopped("the crawler stops")

    def note_erased(self, record: Record, file: str, member: Member) -> None:
        """Note a record that is left out: revisits may need its payload, or refer to it although it is a revisit."""
        if not record.get("warc-payload-digest"):
            return
        key = _Key(*(record.get(each) for each in ("warc-target-uri", "warc-date", "warc-payload-digest")))
        if record.get("warc-type") == "response":
            self._erased_payloads.setdefault(key, _ErasedPayload(file, member.offset, member.length))
        elif record.get("warc-type") == "revisit":
            target = self._erased_payloads.get(_target_of(record))
            self._erased_payloads.setdefault(
                key, target or _ErasedPayload(file, 0, 0, new_record=_target_record(record))
            )

    def adapted(self, record: Record, name: str, file: str, offset: int) -> Record | None:
        """Return a revisit with its payload, or with a reference to the payload's new record; None: it is unchanged.

        :param name: the file that has the record.
        :param file: its successor.
        :param offset: of the record in the successor.
        """
        if record.get("warc-type") != "revisit":
            return None
        target = _target_of(record)
        self._targets.setdefault(name, set()).add(target)
        moved = self._erased_payloads.get(target)
        if moved is None:
            return None
        if moved.new_record is not None:
            return _retargeted(record, moved.new_record)
        payload = self._payload(moved)
        if payload is None:
            return None
        full = _with_payload(record, payload)
        moved.new_record, moved.new_record_file, moved.new_offset = evolve(full, block=b""), file, offset
        return full

    def _payload(self, moved: _ErasedPayload) -> bytes | None:
        name, source = self._open_now
        if moved.file != name:
            if moved.file not in self._sources:
                self._sources[moved.file] = self._opened.enter_context(self._open_file(moved.file))
            source = self._sources[moved.file]
        source.seek(moved.offset)
        raw = source.read(moved.length)
        member = next(members(BytesIO(raw), len(raw), []), None)
        record = None if member is None else read_record(member.plain)
        return None if record is None else record.payload


class _OneFile:
    """One file while it is rewritten."""

    def __init__(
        self,
        rewriter: Rewriter,
        name: str,
        source: BinaryIO,
        size: int,
        rows: list[FileRow],
        draft: str,
        target: BinaryIO,
        erased_files: ErasedFiles,
    ) -> None:
        self._rewriter = rewriter
        self._erased_files = erased_files
        #: How many files were erased from each recording that stays.
        self._counts: Counter[int] = Counter()
        #: The recording that the current record belongs to.
        self._page: int | None = None
        self._name = name
        self._source = source
        self._size = size
        self._rows = rows
        self._draft = draft
        self._target = target
        self._starts = {row.offset: row for row in rows}
        #: The erasure of the recording that the current record belongs to; None: it stays.
        self._erasure: int | None = None
        self._erasures_of_ids: dict[str, int | None] = {}
        self._pieces: list[_Piece] = []
        self._length = 0
        self._records: dict[int, int] = {}
        self._removed: list[tuple[str, str]] = []
        self._is_changed = False

    def run(self) -> Replacement | None:
        known = sorted(self._starts)
        self._rewriter.begin(self._name)
        for member in members(self._source, self._size, known):
            self._rewriter.check_stopped()
            self._handle(member)
        self._copy_last_piece()
        erased = [row.id for row in self._rows if row.erasure is not None]
        if not erased and not self._is_changed:
            return None
        offsets = {row.id: self._moved_to(row.offset) for row in self._rows if row.erasure is None}
        # A file of pages that the queue does not know stays if only files of pages are erased from it.
        remains = bool(offsets) or not erased
        self._target.flush()
        return Replacement(
            old=self._name,
            new=self._draft if remains else "",
            committed=self._length if remains else 0,
            offsets=offsets,
            erased=erased,
            removed_payloads=self._removed,
            records=self._records,
            freed=self._size - (self._length if remains else 0),
            searched=self._erased_files.last or None,
            erased_files=self._counts,
            moved_to=self._moved_to,
        )

    def _handle(self, member: Member) -> None:
        record = read_record(member.plain) if member.is_readable else None
        erasure = self._erasure_of(member, record)
        if erasure is not None:
            self._records[erasure] = self._records.get(erasure, 0) + 1
            if record is not None:
                self._rewriter.note_erased(record, self._name, member)
                if record.get("warc-type") == "response" and record.get("warc-payload-digest"):
                    digest = _hexadecimal(record.get("warc-payload-digest"))
                    self._removed.append((digest, record.get("warc-target-uri")))
            return
        adapted = None
        if record is not None:
            adapted = self._rewriter.adapted(record, self._name, self._draft, self._length)
        if adapted is None:
            self._keep(member)
        else:
            self._is_changed = True
            self._write(member, adapted.dump())

    def _erasure_of(self, member: Member, record: Record | None) -> int | None:
        """Return the erasure that removes a record; None if the record stays.

        A page's request and its files follow the page. A page without a recording stays, and so do its files.
        """
        row = self._starts.get(member.offset)
        if row is not None:
            self._page, self._erasure, self._erasures_of_ids = row.id, row.erasure, {}
        elif record is not None and (record.get(_NODE) or record.get("warc-type") == "warcinfo"):
            self._page = self._erasure = None
        if record is None:
            return self._erasure
        if row is None and self._erasure is None and is_file_record(record):
            return self._erasure_of_file(record)
        erasure = self._erasures_of_ids.get(record.get("warc-concurrent-to"), self._erasure)
        if record.get("warc-record-id"):
            self._erasures_of_ids[record.get("warc-record-id")] = erasure
        return erasure

    def _erasure_of_file(self, record: Record) -> int | None:
        erasure = self._erased_files.erasure(record.get("warc-target-uri"), self._page)
        if erasure is not None:
            self._is_changed = True
            if self._page is not None:
                self._counts[self._page] += 1
        return erasure

    def _keep(self, member: Member) -> None:
        """Copy a member later, together with its neighbours."""
        last = self._pieces[-1] if self._pieces else None
        if last is not None and not last.is_written and last.old + last.length == member.offset:
            last.length += member.length
        else:
            self._copy_last_piece()
            self._pieces.append(_Piece(member.offset, self._length, member.length))
        self._length += member.length

    def _copy_last_piece(self) -> None:
        if not self._pieces or self._pieces[-1].is_written:
            return
        piece = self._pieces[-1]
        piece.is_written = True
        self._source.seek(piece.old)
        left = piece.length
        while left:
            self._rewriter.check_stopped()
            data = self._source.read(min(left, _COPY_BYTES))
            if not data:
                raise OSError(0, f"{self._name} became shorter while it was read")
            self._target.write(data)
            left -= len(data)

    def _write(self, member: Member, data: bytes) -> None:
        self._copy_last_piece()
        self._pieces.append(_Piece(member.offset, self._length, len(data), is_written=True))
        self._target.write(data)
        self._length += len(data)

    def _moved_to(self, offset: int) -> int:
        low, high = 0, len(self._pieces)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._pieces[middle].old <= offset else (low, middle)
        if low == 0 or offset >= self._pieces[low - 1].old + self._pieces[low - 1].length:
            return offset if offset >= _BEYOND else _BEYOND + offset
        piece = self._pieces[low - 1]
        return piece.new + offset - piece.old


def _target_of(revisit: Record) -> _Key:
    fields = "warc-refers-to-target-uri", "warc-refers-to-date", "warc-payload-digest"
    return _Key(*(revisit.get(each) for each in fields))


def _target_record(revisit: Record) -> Record:
    """Return the facts about the kept record that a revisit refers to."""
    names = {"warc-refers-to": "WARC-Record-ID", "warc-refers-to-target-uri": "WARC-Target-URI"}
    names["warc-refers-to-date"] = "WARC-Date"
    return Record(revisit.version, tuple((names[field], revisit.get(field)) for field in names), b"")


def _with_payload(revisit: Record, payload: bytes) -> Record:
    """Return a revisit as the response that it stands for."""
    head = revisit.block.partition(b"\r\n\r\n")[0]
    fields: Mapping[str, str | None] = {
        "warc-type": "response",
        "warc-profile": None,
        "warc-refers-to": None,
        "warc-refers-to-target-uri": None,
        "warc-refers-to-date": None,
        "warc-truncated": None,
    }
    return revisit.replaced(fields, head + b"\r\n\r\n" + payload)


def _retargeted(revisit: Record, new_record: Record) -> Record:
    fields = {
        "warc-refers-to": new_record.get("warc-record-id"),
        "warc-refers-to-target-uri": new_record.get("warc-target-uri"),
        "warc-refers-to-date": new_record.get("warc-date"),
    }
    return revisit.replaced(fields, revisit.block)


def _hexadecimal(digest: str) -> str:
    """Return a digest of a record (``sha256:`` and base32) as the index has it."""
    algorithm, _, text = digest.partition(":")
    try:
        return b32decode(text).hex() if algorithm == "sha256" else digest
    except ValueError:
        return digest
