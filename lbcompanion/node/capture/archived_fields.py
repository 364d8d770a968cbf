"""The application's response head as copies keep it: without the fields that must not be archived."""

from __future__ import annotations

from collections.abc import Iterable

from lbcompanion.http1.field_lines import CONNECTION
from lbcompanion.http1.fields import connection_fields
from lbcompanion.http1.heads import ResponseHead
from lbcompanion.http1.kept_head import ALWAYS_LEFT_OUT, kept_head
from lbcompanion.protocol.headers import REMOVED


class ArchivedFields:
    """Makes the heads of copies. They are made before the copy is stored, so that no store has a field left out.

    :param exclude: the names of further fields to leave out, ``[capture] archive_fields_exclude``.
    """

    def __init__(self, exclude: Iterable[str]) -> None:
        # The node's own field must not come from the application.
        names = {REMOVED.key, *(name.lower().encode() for name in exclude)}
        self._left_out = tuple(sorted(ALWAYS_LEFT_OUT | names))

    def head_of(self, head: ResponseHead) -> bytes:
        """Return the head of a copy, in the format of :mod:`lbcompanion.protocol.response_heads`."""
        if head.flags & CONNECTION and (named := connection_fields(head)):
            return kept_head(head.raw, (*self._left_out, *named))
        return kept_head(head.raw, self._left_out)
