"""The files that scripts of recorded pages asked for in a replay, and that are not in the recording.

The crawler runs no scripts, so it cannot know of them before somebody looks at the page with its scripts. The dashboard
shows them with the setting that archives them with further pages.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

from lbcompanion.crawler.admin.endpoint import HttpError
from lbcompanion.crawler.replay.documents import Replayed
from lbcompanion.html.urls import MAX_URL_CHARS, origin_of, resolve_url, target_of

#: A page may ask for any number of addresses. These limits hold: recordings, and addresses of each of them.
MAX_RECORDINGS, MAX_FILES = 100, 200
_NOT_ALLOWED = frozenset("*\\")


class AskedFiles:
    """The files of the replays that somebody looked at since the crawler started."""

    def __init__(self) -> None:
        self._files: dict[str, dict[str, None]] = {}

    @contextmanager
    def noting(self, replayed: Replayed, url: str) -> Iterator[None]:
        """Note the address if the recording does not have the file."""
        try:
            yield
        except HttpError as failure:
            if failure.status == 404 and url not in replayed.reasons:
                self._note(replayed.token, url)
            raise

    def _note(self, token: str, url: str) -> None:
        is_address = url.startswith(("http://", "https://")) and url.isprintable() and len(url) <= MAX_URL_CHARS
        if not is_address:
            return
        files = self._files.setdefault(token, {})
        if len(files) < MAX_FILES:
            files[url] = None
        if len(self._files) > MAX_RECORDINGS:
            del self._files[next(iter(self._files))]

    def of(self, token: str) -> list[str]:
        """Return the addresses that a recorded page asked for."""
        return sorted(self._files.get(token, ()))


def script_files(urls: list[str], page_url: str) -> str:
    """Return the setting ``script_files`` for the addresses that have the origin of a page; empty if none has it."""
    own = origin_of(page_url)
    found = (resolve_url("", url) for url in urls if origin_of(url) == own)
    # A text in JSON is one in TOML too.
    lines = [f"    {json.dumps(path)}," for path in map(target_of, found) if not _NOT_ALLOWED & set(path)]
    return "\n".join(["script_files = [", *lines, "]"]) if lines else ""
