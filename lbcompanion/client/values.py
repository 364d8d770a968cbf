"""The values that the API returns, typed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from attrs import field, fields, frozen

from lbcompanion.protocol.removed_parts import RemovedParts

#: An object of JSON.
Json = Mapping[str, Any]
_REMOVED = tuple(each.name for each in fields(RemovedParts))


@frozen
class Attempt:
    """One request for a copy.

    :ivar ms: how long it took, in milliseconds.
    """

    route: str
    node: str | None
    result: str
    ms: float


@frozen
class FilesOfPage:
    """What became of the files that a page names.

    :ivar wanted: how many they are.
    :ivar archived: how many are archived with it.
    :ivar missing: why files are missing, by their addresses.
    """

    wanted: int
    archived: int
    missing: Mapping[str, str]

    @classmethod
    def read(cls, given: Json) -> FilesOfPage:
        """Read an object of the API."""
        return cls(given["wanted"], given["archived"], {each["url"]: each["reason"] for each in given["missing"]})


@frozen
class WarcPlace:
    """Where the record of a page is in the archive.

    :ivar offset: where it begins, in bytes.
    :ivar crawler: the crawler that wrote the file; None if it has no name.
    """

    file: str
    offset: int
    crawler: str | None

    @classmethod
    def read(cls, given: Json) -> WarcPlace:
        """Read an object of the API."""
        return cls(given["file"], given["offset"], given.get("crawler"))


@frozen
class Recording:
    """A page that somebody viewed. None means that a value is not known, or not there yet.

    :ivar node: the node that served the page; ``answered_by`` is the one that the copy was fetched from.
    :ivar outcome: ``archived``, ``lost``, or None while the crawler works on it.
    :ivar reason: why it is lost.
    :ivar visitor: the visitor's pseudonym.
    :ivar by: ``browser``, or ``server`` if the node itself made the notice.
    :ivar removed: how many parts the copy lacks because of masks and excluded blocks.
    :ivar raw: the whole object of the API; a later version may have more members.
    """

    token: str
    site: str
    url: str
    title: str | None
    method: str | None
    status: int | None
    node: str
    route: str | None
    outcome: str | None
    reason: str | None
    sha256: str | None
    bytes: int | None
    content_type: str | None
    visitor: str | None
    viewed_at: datetime
    captured_at: datetime | None
    finished_at: datetime | None
    attempts: tuple[Attempt, ...]
    answered_by: str | None
    by: str | None
    noticed_at: datetime | None
    warc: WarcPlace | None
    requisites: FilesOfPage | None
    removed: RemovedParts | None
    raw: Json = field(repr=False, eq=False)

    @classmethod
    def read(cls, given: Json) -> Recording:
        """Read an object of the API."""
        same = ("token", "site", "url", "title", "method", "status", "route", "outcome", "reason", "sha256", "bytes")
        more = ("content_type", "visitor", "answered_by", "by")
        warc, requisites, removed = (given.get(name) for name in ("warc", "requisites", "removed"))
        return cls(
            **{name: given.get(name) for name in (*same, *more)},  # type: ignore[arg-type]
            node=given["origin_node"],
            viewed_at=datetime.fromisoformat(given["viewed_at"]),
            captured_at=_time(given.get("captured_at")),
            finished_at=_time(given.get("finished_at")),
            attempts=tuple(
                Attempt(each["route"], each["node"], each["result"], each["ms"]) for each in given["attempts"]
            ),
            noticed_at=_time(given.get("noticed_at")),
            warc=WarcPlace.read(warc) if warc else None,
            requisites=FilesOfPage.read(requisites) if requisites else None,
            removed=None if removed is None else RemovedParts(**{kind: removed.get(kind, 0) for kind in _REMOVED}),
            raw=given,
        )


@frozen
class Payload:
    """The archived bytes of a page, and its own type. They are of an untrusted author."""

    body: bytes = field(repr=False)
    content_type: str


@frozen
class Session:
    """A visitor's walk through the site.

    :ivar visitor: the pseudonym.
    :ivar pages: how many recordings it has.
    """

    visitor: str
    first_at: datetime
    last_at: datetime
    pages: int

    @classmethod
    def read(cls, given: Json) -> Session:
        """Read an object of the API."""
        return cls(given["visitor"], *_first_and_last(given), given["pages"])


@frozen
class Version:
    """The recordings of one address with the same bytes.

    :ivar recordings: how many they are.
    :ivar first_token: of the recording that was viewed first, and ``last_token`` of the last one.
    """

    sha256: str
    title: str | None
    nodes: tuple[str, ...]
    recordings: int
    first_at: datetime
    last_at: datetime
    first_token: str
    last_token: str

    @classmethod
    def read(cls, given: Json) -> Version:
        """Read an object of the API."""
        nodes, count = tuple(given["nodes"]), given["recordings"]
        times, tokens = _first_and_last(given), (given["first_token"], given["last_token"])
        return cls(given["sha256"], given["title"], nodes, count, *times, *tokens)

    def with_more(self, other: Version) -> Version:
        """Return the version with further recordings of the same bytes."""
        first, last = min(self, other, key=lambda one: one.first_at), max(self, other, key=lambda one: one.last_at)
        return Version(
            self.sha256,
            last.title,
            tuple(sorted({*self.nodes, *other.nodes})),
            self.recordings + other.recordings,
            first.first_at,
            last.last_at,
            first.first_token,
            last.last_token,
        )


@frozen
class Erased:
    """The result of an erasure.

    :ivar recordings: how many were erased, or would be.
    :ivar archived: how many of them had an archived page.
    :ivar waiting: how many are not shown any more, but are still in the archive's files.
    """

    recordings: int
    archived: int
    waiting: int
    is_dry_run: bool
    raw: Json = field(repr=False, eq=False)

    @classmethod
    def read(cls, given: Json) -> Erased:
        """Read an object of the API."""
        return cls(given["recordings"], given["archived"], given.get("waiting", 0), given["dry_run"], given)


@frozen
class Outcome:
    """A recording that got its outcome.

    :ivar id: the position of the outcome. :meth:`.Client.stream` continues after it.
    """

    id: str
    recording: Recording


@frozen
class Missed:
    """Outcomes were deleted before they were read.

    :ivar id: the position after which outcomes are there.
    """

    id: str


def _first_and_last(given: Json) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(given["first_at"]), datetime.fromisoformat(given["last_at"])


def _time(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
