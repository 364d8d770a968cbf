"""Requests to erase files of pages, such as style sheets and images, by their addresses.

No table lists all addresses in an archive file, and only the crawler that has a file can read it. So a request stays
here until every archive file was searched for it. A file keeps the number of the last request for which it was
searched (``files.searched``); a file that is begun later has the number that its crawler knew at that time.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from attrs import asdict, field, frozen
from sqlalchemy import ColumnElement, and_, delete, func, insert, or_, select, update
from sqlalchemy.engine import Connection

from lbcompanion.crawler.queue.database import Database
from lbcompanion.crawler.queue.schema import ERASURES, FILE_ERASURES, FILES, RECORDINGS
from lbcompanion.html.urls import resolve_url

#: How long a request stays at least where several crawlers share the queue, in seconds: each of them looks for requests
#: every minute, and may archive a file from its memory until then.
KEPT_SECONDS = 900.0
#: How many requests a crawler compares with the files of the pages that it archives.
_MOST_COMPARED = 100
_ON_REQUEST = ("command", "api")


@frozen
class FileCriteria:
    """The criteria of a request. A file's record is erased if it meets all of them.

    :ivar urls: the file's address; a ``*`` at the end stands for any rest.
    :ivar tokens: of the page that the file belongs to; so ``visitors`` and ``before``.
    """

    urls: tuple[str, ...] = field(default=(), repr=False)
    tokens: tuple[str, ...] = field(default=(), repr=False)
    visitors: tuple[str, ...] | None = field(default=None, repr=False)
    before: float | None = None
    _exact: frozenset[str] = field(init=False, repr=False)
    _prefixes: tuple[str, ...] = field(init=False, repr=False)

    @_exact.default
    def _whole_addresses(self) -> frozenset[str]:
        return frozenset(url for url in self.urls if not url.endswith("*"))

    @_prefixes.default
    def _beginnings(self) -> tuple[str, ...]:
        return tuple(url[:-1] for url in self.urls if url.endswith("*"))

    @property
    def is_about_pages(self) -> bool:
        """Whether there are criteria about the page."""
        return bool(self.tokens) or self.visitors is not None or self.before is not None

    def matches(self, url: str) -> bool:
        """Whether a file's address meets the criterion."""
        return url in self._exact or url.startswith(self._prefixes)


@frozen
class FileRequest:
    """A request to erase files.

    :ivar erasure: its number in the list of erasures.
    :ivar until: the last recording that had arrived when it was made.
    """

    erasure: int
    criteria: FileCriteria
    until: int


def page_criteria(
    tokens: Sequence[str], visitors: Sequence[str] | None, before: float | None
) -> list[ColumnElement[bool]]:
    """Return the conditions on a page's row."""
    wanted: list[ColumnElement[bool]] = []
    if tokens:
        wanted.append(RECORDINGS.c.token.in_(tokens))
    if visitors is not None:
        wanted.append(RECORDINGS.c.visitor.in_(visitors))
    if before is not None:
        wanted.append(RECORDINGS.c.noticed_at < before)
    return wanted


def written_addresses(urls: Iterable[str]) -> tuple[str, ...]:
    """Return addresses as records have them: without fragment, and in the normal form of browsers too."""
    plain = [url if url.endswith("*") else url.partition("#")[0] for url in urls]
    normal = [resolve_url("", url) for url in plain if not url.endswith("*")]
    return tuple(dict.fromkeys([*plain, *filter(None, normal)]))


def request_files(connection: Connection, erasure: int, criteria: FileCriteria) -> None:
    """Enter a request, within the transaction that begins the erasure."""
    until = connection.execute(select(func.max(RECORDINGS.c.id))).scalar() or 0
    text = json.dumps(asdict(criteria, filter=lambda attribute, _value: attribute.init))
    values = {"erasure": erasure, "criteria": text, "until_recording": until}
    connection.execute(insert(FILE_ERASURES).values(values))


def is_searching() -> ColumnElement[bool]:
    """Return the condition that a file still has to be searched for a row of the table of requests."""
    has_records = or_(FILES.c.committed > 0, FILES.c.state == "open")
    return and_(has_records, func.coalesce(FILES.c.searched, 0) < FILE_ERASURES.c.erasure)


class FileErasures:
    """The requests, over the crawler's database.

    :ivar known: the last erasure on request that this crawler knows; files that it begins need no search for it.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.known = 0
        self._compared: list[FileRequest] = []

    def latest(self) -> int:
        """Return the number of the last erasure on request, by any crawler; 0: there was none."""
        query = select(func.max(ERASURES.c.id)).where(ERASURES.c.erased_by.in_(_ON_REQUEST))
        with self._database.read() as connection:
            return int(connection.execute(query).scalar() or 0)

    def note(self, latest: int) -> None:
        """Leave the files of the requests out of the pages that are archived from now on."""
        known = {each.erasure: each for each in (*self._compared, *self.requests())}
        self._compared = [known[number] for number in sorted(known)][-_MOST_COMPARED:]
        self.known = latest

    def requests(self) -> list[FileRequest]:
        """Return all requests, oldest first."""
        with self._database.read() as connection:
            rows = connection.execute(select(FILE_ERASURES).order_by(FILE_ERASURES.c.erasure)).all()
        return [FileRequest(row.erasure, _load(row.criteria), row.until_recording) for row in rows]

    def erased(self, token: str, urls: Iterable[str]) -> set[str]:
        """Return which addresses of a page's files are erased for this page."""
        if not self._compared:
            return set()
        found: set[str] = set()
        for url in set(urls):
            requests = [each for each in self._compared if each.criteria.matches(url)]
            if any(self._is_about(each, RECORDINGS.c.token == token) for each in requests):
                found.add(url)
        return found

    def _is_about(self, request: FileRequest, page: ColumnElement[bool]) -> bool:
        with self._database.read() as connection:
            return connection.execute(select(RECORDINGS.c.id).where(page, *_of(request)).limit(1)).first() is not None

    def pages(self, request: FileRequest, file: str) -> frozenset[int]:
        """Return the recordings in an archive file to which a request refers."""
        with self._database.read() as connection:
            query = select(RECORDINGS.c.id).where(RECORDINGS.c.warc_file == file, *_of(request))
            return frozenset(connection.execute(query).scalars())

    def last_recording(self) -> int:
        """Return the number of the last recording."""
        with self._database.read() as connection:
            return int(connection.execute(select(func.max(RECORDINGS.c.id))).scalar() or 0)

    def searched(self, file: str) -> int:
        """Return the last request for which an archive file was searched."""
        with self._database.read() as connection:
            return int(connection.execute(select(FILES.c.searched).where(FILES.c.name == file)).scalar() or 0)

    def note_searched(self, file: str, erasure: int) -> None:
        """Note that an archive file has no records of a request and of the requests before it."""
        with self._database.change() as connection:
            connection.execute(update(FILES).where(FILES.c.name == file).values(searched=erasure))

    def unsearched(self) -> set[str]:
        """Return the archive files of all crawlers that still have to be searched."""
        query = select(FILES.c.name).where(select(FILE_ERASURES.c.erasure).where(is_searching()).exists())
        with self._database.read() as connection:
            return set(connection.execute(query).scalars())

    def waiting(self, erasure: int) -> int:
        """Return how many archive files still have to be searched for a request."""
        query = select(func.count()).select_from(FILE_ERASURES.join(FILES, is_searching()))
        with self._database.read() as connection:
            return int(connection.execute(query.where(FILE_ERASURES.c.erasure == erasure)).scalar() or 0)

    def forget(self, now: float) -> None:
        """Delete the requests for which all files were searched."""
        done = [~select(FILES.c.id).where(is_searching()).exists()]
        if self._database.is_server:
            old = select(ERASURES.c.id).where(ERASURES.c.at <= now - KEPT_SECONDS)
            done.append(FILE_ERASURES.c.erasure.in_(old))
        with self._database.change() as connection:
            for number in connection.execute(select(FILE_ERASURES.c.erasure).where(*done)).scalars().all():
                connection.execute(delete(FILE_ERASURES).where(FILE_ERASURES.c.erasure == number))


def _of(request: FileRequest) -> list[ColumnElement[bool]]:
    given = request.criteria
    own = [RECORDINGS.c.id <= request.until, RECORDINGS.c.erasure.is_(None)]
    return own + page_criteria(given.tokens, given.visitors, given.before)


def _load(text: str) -> FileCriteria:
    values: dict[str, Any] = json.loads(text)
    visitors = None if values["visitors"] is None else tuple(values["visitors"])
    return FileCriteria(tuple(values["urls"]), tuple(values["tokens"]), visitors, values["before"])
