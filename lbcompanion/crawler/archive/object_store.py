"""The archive in an object store: uploads whole files, checks them, and reads ranges of them.

Blocking; callers use threads of their own. Credentials, region and endpoint come from the environment, by the names
that the store's own tools use, such as ``AWS_ACCESS_KEY_ID`` and ``AWS_ENDPOINT_URL``.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, cast

from lbcompanion.errors import CompanionError

if TYPE_CHECKING:
    from obstore.store import ObjectStore as Store

#: Larger files are sent in parts of this size; S3 takes parts of 5 MiB and more, and 10,000 of them.
PART_BYTES = 16 * 1024 * 1024
_READ_BYTES = 1024 * 1024
#: A page of usual size and its head come with the first range request.
_RANGE_BYTES = 128 * 1024
_REQUEST_SECONDS = 60
_CONNECT_SECONDS = 10
_MOST_CHARACTERS = 300


class StoreFailed(CompanionError):
    """The object store did not do what it was asked for; a later try may succeed."""


class FileNameTaken(CompanionError):
    """The store has a file with this name that another crawler wrote."""


class UploadStopped(CompanionError):
    """The upload ended early because the crawler stops."""


class ObjectStore:
    """One prefix in one bucket.

    :param url: such as ``s3://bucket/prefix``.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: Store | None = None

    def upload(
        self, name: str, path: Path, is_stopped: Callable[[], bool] = lambda: False, *, may_replace: bool = False
    ) -> int:
        """Put a whole file into the store, read it back, and return how many bytes were sent.

        A file that is already there is not sent again. One that the store took in part is sent again.

        :param is_stopped: asked between the parts of the file.
        :param may_replace: whether another file of this name is replaced.
        :raises StoreFailed: if the store fails, or does not return the same bytes.
        :raises FileNameTaken: if the store has another file of this name.
        :raises UploadStopped: if ``is_stopped`` says so.
        :raises OSError: if the local file cannot be read.
        """
        size, digest = path.stat().st_size, file_digest(path)
        there = self._compare(name, path, digest, is_stopped)
        if there == "same":
            return 0
        if there == "other" and not may_replace:
            raise FileNameTaken(f"{self.url}/{name} is another file; give each crawler a name of its own")
        self._put(name, path, size, is_stopped)
        if self._compare(name, path, digest, is_stopped) != "same":
            raise StoreFailed(f"{self.url}/{name} was sent, but the store does not return the same bytes")
        return size

    def _compare(self, name: str, path: Path, digest: str, is_stopped: Callable[[], bool]) -> str:
        """Read the stored file, and compare it: ``none``, ``same``, ``part`` (the first bytes only), or ``other``."""
        found, size = hashlib.sha256(), 0
        try:
            for chunk in self._chunks(name):
                _check(is_stopped)
                found.update(chunk)
                size += len(chunk)
        except FileNotFoundError:
            return "none"
        if found.hexdigest() == digest:
            return "same"
        return "part" if found.hexdigest() == file_digest(path, size) else "other"

    def _chunks(self, name: str) -> Iterator[bytes]:
        import obstore  # noqa: PLC0415 - an extra, which may not be installed

        with _reported(f"{self.url}/{name} cannot be read"):
            for chunk in obstore.get(self._store(), name).stream(min_chunk_size=_READ_BYTES):
                yield bytes(chunk)

    def _put(self, name: str, path: Path, size: int, is_stopped: Callable[[], bool]) -> None:
        import obstore  # noqa: PLC0415

        is_large = size > PART_BYTES
        content = _parts(path, is_stopped) if is_large else path.read_bytes()
        try:
            with _reported(f"{self.url}/{name} cannot be written"):
                obstore.put(
                    *(self._store(), name, content),
                    attributes={"Content-Type": "application/warc" if name.endswith(".gz") else "text/plain"},
                    use_multipart=is_large,
                    chunk_size=PART_BYTES,
                    max_concurrency=2,
                )
        except FileNotFoundError:
            raise StoreFailed(f"{self.url}/{name} cannot be written: the bucket is not there") from None

    def size(self, name: str) -> int | None:
        """Return the size of a file; None if it is not there.

        :raises StoreFailed: if the store fails.
        """
        import obstore  # noqa: PLC0415

        try:
            with _reported(f"{self.url}/{name} cannot be read"):
                return int(obstore.head(self._store(), name)["size"])
        except FileNotFoundError:
            return None

    def size_if_continued(self, name: str, path: Path) -> int:
        """Return the size of a file that begins with the bytes of a local one, which may be missing.

        :returns: -1 if the store does not have it, or if it begins with other bytes.
        :raises StoreFailed: if the store fails.
        :raises OSError: if the local file cannot be read.
        """
        size = self.size(name)
        if size is None or not path.exists():
            return -1 if size is None else size
        left, found = path.stat().st_size, hashlib.sha256()
        for chunk in self._chunks(name):
            found.update(chunk[:left])
            left -= min(left, len(chunk))
            if not left:
                break
        return size if not left and found.hexdigest() == file_digest(path) else -1

    def open(self, name: str) -> BinaryIO:
        """Open a file for reading; only the ranges that are read are fetched.

        :raises StoreFailed: if the store fails.
        :raises FileNotFoundError: if the file is not there.
        """
        import obstore  # noqa: PLC0415

        with _reported(f"{self.url}/{name} cannot be read"):
            reader = obstore.open_reader(self._store(), name, buffer_size=_RANGE_BYTES)
        return cast(BinaryIO, _Reader(reader, f"{self.url}/{name}"))

    def remove(self, name: str) -> None:
        """Remove a file; one that is not there is no error.

        :raises StoreFailed: if the store fails.
        """
        import obstore  # noqa: PLC0415

        try:
            with _reported(f"{self.url}/{name} cannot be removed"):
                obstore.delete(self._store(), name)
        except FileNotFoundError:
            return

    def _store(self) -> Store:
        if self._opened is None:
            from obstore.store import from_url  # noqa: PLC0415

            with _reported(f"{self.url} cannot be used"):
                # Repeated tries are the caller's; these few cover a single lost connection.
                self._opened = from_url(
                    self.url,
                    client_options={
                        "allow_http": True,  # plain http is used only if the endpoint in the environment says so
                        "timeout": timedelta(seconds=_REQUEST_SECONDS),
                        "connect_timeout": timedelta(seconds=_CONNECT_SECONDS),
                    },
                    retry_config={"max_retries": 2, "retry_timeout": timedelta(seconds=_REQUEST_SECONDS)},
                )
        return self._opened


class _Reader:
    """A reader of the library, whose errors are :class:`StoreFailed`."""

    def __init__(self, reader: object, what: str) -> None:
        self._reader = reader
        self._what = what

    def read(self, size: int = -1) -> bytes:
        with _reported(f"{self._what} cannot be read"):
            return bytes(self._reader.read(None if size < 0 else size))  # type: ignore[attr-defined]

    def seek(self, offset: int, whence: int = 0) -> int:
        with _reported(f"{self._what} cannot be read"):
            return int(self._reader.seek(offset, whence))  # type: ignore[attr-defined]

    def tell(self) -> int:
        return int(self._reader.tell())  # type: ignore[attr-defined]

    def close(self) -> None:
        self._reader.close()  # type: ignore[attr-defined]

    def __enter__(self) -> _Reader:
        return self

    def __exit__(self, *_failure: object) -> None:
        self.close()


def file_digest(path: Path, size: int | None = None) -> str:
    """Return the SHA-256 digest of a file's first bytes in hexadecimal.

    :param size: how many bytes; None: the whole file.
    """
    found, rest = hashlib.sha256(), size
    with path.open("rb") as stream:
        while rest is None or rest > 0:
            chunk = stream.read(_READ_BYTES if rest is None else min(rest, _READ_BYTES))
            if not chunk:
                break
            found.update(chunk)
            rest = None if rest is None else rest - len(chunk)
    return found.hexdigest()


def _parts(path: Path, is_stopped: Callable[[], bool]) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while chunk := stream.read(PART_BYTES):
            _check(is_stopped)
            yield chunk


def _check(is_stopped: Callable[[], bool]) -> None:
    if is_stopped():
        raise UploadStopped("the crawler stops")


@contextmanager
def _reported(what: str) -> Iterator[None]:
    """Turn the library's errors into :class:`StoreFailed`, except that a file is not there."""
    try:
        yield
    except (FileNotFoundError, CompanionError):
        raise
    except Exception as failure:  # the library raises errors of its own, and several of Python's
        # The first line has the cause; further ones quote the library's own structures.
        text = " ".join((str(failure).strip() or type(failure).__name__).split("\n")[0].split())
        raise StoreFailed(f"{what}: {text[:_MOST_CHARACTERS]}") from None
