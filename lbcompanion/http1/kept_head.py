"""The head of a response as a copy keeps it (:mod:`lbcompanion.protocol.response_heads` describes the format)."""

from __future__ import annotations

from collections.abc import Callable

from lbcompanion.http1.field_lines import HOP_BY_HOP, compiled

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
#: The fields that are never archived, in lower case: credentials, and the fields of the connection.
ALWAYS_LEFT_OUT = HOP_BY_HOP | _CREDENTIALS | {b"trailer"}


def kept_head_in_python(raw: bytes, left_out: tuple[bytes, ...]) -> bytes:
    """Return the head without some fields, and with their names after the empty line.

    The compiled reader has the same function, which ``kept_head`` is if there is one.

    :param raw: from the status line to the empty line, both included.
    :param left_out: the names of the fields to leave out, in lower case.
    """
    status_line, *lines = raw[:-4].split(b"\r\n")
    kept = [status_line]
    names: list[bytes] = []
    for line in lines:
        name = line.partition(b":")[0].rstrip(b" \t")
        if name.lower() in left_out:
            names.append(name)
        else:
            kept.append(line)
    return b"\r\n".join([*kept, b"", *names, b""])


# A compiled reader that was built before it had this function does without.
kept_head: Callable[[bytes, tuple[bytes, ...]], bytes] = getattr(compiled(), "kept_head", kept_head_in_python)
