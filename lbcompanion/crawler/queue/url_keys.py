"""The key of a page's address in the index of the search: its beginning, without the fragment.

An index cannot have texts of any length: PostgreSQL refuses entries of more than 2,704 bytes.
"""

from __future__ import annotations

from sqlalchemy import Connection, case, func, literal, update

from lbcompanion.crawler.queue.schema import RECORDINGS

#: The length of a key, in characters.
KEY_CHARS = 200

#: The address that is shown: the copy's own, or the one that the browser reported.
ADDRESS = case((RECORDINGS.c.page_url != "", RECORDINGS.c.page_url), else_=RECORDINGS.c.url)


def url_key(url: str) -> str:
    """Return the key of an address."""
    return url.partition("#")[0][:KEY_CHARS]


def fill_url_keys(connection: Connection) -> None:
    """Add the keys that are missing: crawlers of an earlier version add recordings without a key."""
    find = func.strpos if connection.dialect.name == "postgresql" else func.instr
    fragment_at = find(ADDRESS, "#")
    address = case((fragment_at > 0, func.substr(ADDRESS, 1, fragment_at - 1)), else_=ADDRESS)
    missing = RECORDINGS.c.url_key.is_(None), RECORDINGS.c.erasure.is_(None)
    connection.execute(update(RECORDINGS).where(*missing).values(url_key=func.substr(address, 1, literal(KEY_CHARS))))
