"""An archive and its backlog in a folder, for tests of erasures."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred
from warcio.archiveiterator import ArchiveIterator

from lbcompanion.crawler.archive.errors import ArchiveError
from lbcompanion.crawler.archive.warc_records import Requisite
from lbcompanion.crawler.erasure.eraser import Eraser, Parts, Result
from lbcompanion.crawler.erasure.folder import ArchiveFolder
from lbcompanion.crawler.queue.backlog import Arrival
from lbcompanion.crawler.queue.erasures import Erasures, Selection
from lbcompanion.crawler.queue.file_replacement import FileReplacements
from lbcompanion.protocol.tokens import digest_of
from tests.support.archives import NOW, Place, copy
from tests.support.arrivals import arrival
from tests.support.simulated_farm import immediately


class Crashed(BaseException):
    """The process ends here."""


def file_of_page(name: str, body: bytes) -> Requisite:
    return Requisite(f"http://www.example.com/{name}", "text/css", digest_of(body), body)


class ErasingPlace(Place):
    def __init__(
        self, folder: Path, on_step: Callable[[str], object] = lambda _step: None, store_url: str = "", **more: Any
    ) -> None:
        super().__init__(folder, **more)
        self.erasures = Erasures(self.database)
        self.replacements = FileReplacements(self.database, self.index)
        self.forgotten: list[tuple[str, str]] = []
        self.parts = Parts(
            erasures=self.erasures,
            replacements=self.replacements,
            archive=self.archive,
            place=ArchiveFolder(folder / "archive"),
            defer=immediately,
            work=immediately,
            now=lambda: self.now,
            health=self.health,
            store_url=store_url,
            forget_routes=self.forgotten.extend,
            on_step=on_step,
            compact=self.database.compact,
        )
        self.eraser = Eraser(self.parts)

    def close(self) -> None:
        self.database.close()

    def keep(self, token: str, body: bytes, *files: Requisite, visitor: str = "", at: float = NOW, **more: Any) -> None:
        """Archive a page whose address ends with its token."""
        arrived = arrival(token, visitor=visitor)
        url = f"http://www.example.com/{token}"
        notice = evolve(arrived.notice, url=url, page_url=url, noticed_at=at)
        self.backlog.add([Arrival(notice, "n1", "main")], at)
        page = evolve(copy(body, **more), url=url, captured_at=at)
        self.archive.store(token, page, files, "own", ())

    def erase(self, by: str = "command", **criteria: Any) -> Result:
        return finished(Deferred.fromCoroutine(self.eraser.erase(Selection(**criteria), by)))

    def sweep(self) -> None:
        finished(Deferred.fromCoroutine(self.eraser.sweep()))

    def plain(self) -> bytes:
        """Everything that any file of the archive has."""
        return b"".join(gzip.decompress(file.read_bytes()) for file in self.files())

    def check(self, expected: dict[str, bytes]) -> None:
        """Every expected page is readable where its recording says, and no file but those of the index exists."""
        rows = {row["token"]: row for row in self.backlog.recordings(10_000) if row["outcome"] == "archived"}
        assert set(rows) == set(expected)
        for token, body in expected.items():
            row = rows[token]
            file, offset = row["warc_file"], row["warc_offset"]
            place, same = self.archive.reader.locate(file, offset)
            assert self.archive.reader.read_page(file, offset, place, same) == body
            assert digest_of(body).hex() == row["sha256"]
        self.check_payloads()

    def check_payloads(self) -> None:
        """Every revisit refers to a response of the archive, and warcio finds every digest right."""
        responses, revisits = set(), []
        doomed = self.replacements.doomed()
        for file in self.files():
            if file.name in doomed:
                continue
            for record in ArchiveIterator(BytesIO(file.read_bytes()), check_digests="raise"):
                record.content_stream().read()
                get = record.rec_headers.get_header
                if record.rec_type == "response":
                    responses.add((get("WARC-Target-URI"), get("WARC-Date"), get("WARC-Payload-Digest")))
                if record.rec_type == "revisit":
                    refers = get("WARC-Refers-To-Target-URI"), get("WARC-Refers-To-Date"), get("WARC-Payload-Digest")
                    revisits.append(refers)
        assert not set(revisits) - responses

    def check_files(self) -> None:
        """The folder has only the files of the index, and each is as long as the index says."""
        sizes, committed = {file.name: file.stat().st_size for file in self.files()}, self.index.files()
        differing = {
            name: (sizes.get(name), committed.get(name))
            for name in sizes.keys() | committed.keys()
            if sizes.get(name) != committed.get(name)
        }
        assert not differing, "on the disk, in the index"
        assert self.replacements.doomed() == {}


def finished(done: Deferred[Any]) -> Any:
    """Return the result of a Deferred that has fired; raise what it failed with."""
    found: list[Any] = []
    done.addBoth(found.append)
    (result,) = found
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


__all__ = ["ArchiveError", "Crashed", "ErasingPlace", "file_of_page", "finished"]
