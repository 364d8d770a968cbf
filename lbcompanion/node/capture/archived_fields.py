"""The application's response head as copies keep it: without the fields that must not be archived."""

from __future__ import annotations

from collections.abc import Iterable

from lbcompanion.http1.field_lines import CONNECTION, HOP_BY_HOP
from lbcompanion.http1.fields import connection_fields
from lbcompanion.http1.heads import ResponseHead
from lbcompanion.http1.kept_head import kept_head

_CREDENTIALS = frozenset(
    {
        b"set-cookie",
        b"set-cookie2",
        b"authorization",
        b"authentication-info",
        b"proxy-authorization",
        b"proxy-authentication-info",
    }
)
#: The fields that are always left out, in lower case: credentials, and the fields of the connection.
ALWAYS_LEFT_OUT = HOP_BY_HOP | _CREDENTIALS | {b"trailer"}


class ArchivedFields:
    """Makes the heads of copies. They are made before the copy is stored, so that no store has a field left out.

    :param exclude: the names of further fields to leave out, ``[capture] archive_fields_exclude``.
    """

    def __init__(self, exclude: Iterable[str]) -> None:
        self._left_out = tuple(sorted(ALWAYS_LEFT_OUT.union(name.lower().encode() for name in exclude)))

    def head_of(self, head: ResponseHead) -> bytes:
        """Return the head of a copy, in the format of :mod:`lbcompanion.protocol.page_heads`."""
        if head.flags & CONNECTION and (named := connection_fields(head)):
            return kept_head(head.raw, (*self._left_out, *named))
        return kept_head(head.raw, self._left_out)
