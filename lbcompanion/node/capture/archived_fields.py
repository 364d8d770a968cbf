"""The application's response head as copies keep it: without the fields that must not be archived."""

from __future__ import annotations

from collections.abc import Iterable

from lbcompanion.http1.field_lines import CONNECTION
from lbcompanion.http1.fields import connection_fields
from lbcompanion.http1.heads import ResponseHead
from lbcompanion.http1.kept_head import ALWAYS_LEFT_OUT, kept_head


class ArchivedFields:
    """Makes the heads of copies. They are made before the copy is stored, so that no store has a field left out.

    :param exclude: the names of further fields to leave out, ``[capture] archive_fields_exclude``.
    """

    def __init__(self, exclude: Iterable[str]) -> None:
        self._left_out = tuple(sorted(ALWAYS_LEFT_OUT.union(name.lower().encode() for name in exclude)))

    def head_of(self, head: ResponseHead) -> bytes:
        """Return the head of a copy, in the format of :mod:`lbcompanion.protocol.response_heads`."""
        if head.flags & CONNECTION and (named := connection_fields(head)):
            return kept_head(head.raw, (*self._left_out, *named))
        return kept_head(head.raw, self._left_out)
