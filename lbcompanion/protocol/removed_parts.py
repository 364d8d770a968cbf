"""How many parts of a page its copy lacks, as the page's head, the WARC record and the crawler's queue have it.

The text is a dictionary of whole numbers (RFC 9651 section 3.2), such as ``elements=2, blocks=1, documents=0``. It says
nothing of what was removed.
"""

from __future__ import annotations

import re

from attrs import frozen

_TEXT = re.compile(r"[a-z]{1,20}=\d{1,9}(?:, [a-z]{1,20}=\d{1,9}){0,15}", re.ASCII)


@frozen
class RemovedParts:
    """How many parts of a page were removed before its copy was stored.

    :ivar elements: masked elements that lost a value, another attribute or their content.
    :ivar blocks: blocks between the comments of ``exclude_blocks``.
    :ivar documents: documents in ``srcdoc`` attributes that could not be searched for masked parts.
    """

    elements: int = 0
    blocks: int = 0
    documents: int = 0

    @classmethod
    def read(cls, text: str) -> RemovedParts | None:
        """Read a text; None if it is malformed. Kinds of a later version are ignored."""
        if not _TEXT.fullmatch(text):
            return None
        found = {kind: int(count) for kind, _, count in (each.partition("=") for each in text.split(", "))}
        return cls(found.get("elements", 0), found.get("blocks", 0), found.get("documents", 0))

    def __str__(self) -> str:
        return f"elements={self.elements}, blocks={self.blocks}, documents={self.documents}"

    def __bool__(self) -> bool:
        """Whether the copy lacks anything."""
        return bool(self.elements or self.blocks or self.documents)
