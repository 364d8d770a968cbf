"""HTTP responses of the companion itself: constructors and serialization.

Three kinds: problem+json (RFC 9457) to programs, plain text with :data:`GUARDS` about notices, and short plain text to
visitors whose request cannot be served.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from http import HTTPStatus

from lbcompanion.http1.heads import Field, RequestHead, write_fields, write_status_line
from lbcompanion.node.proxy.context import InternalResponse

#: On each response about copies: not cached, not indexed, sandboxed when a browser shows it.
GUARDS: tuple[Field, ...] = (
    (b"Cache-Control", b"no-store"),
    (b"X-Robots-Tag", b"noindex, nofollow"),
    (b"Content-Security-Policy", b"sandbox"),
    (b"X-Content-Type-Options", b"nosniff"),
)
#: :data:`GUARDS` for a copy, which nothing on the way may change: its digest would be wrong (RFC 9111 section 5.2.2.6).
COPY_GUARDS: tuple[Field, ...] = ((b"Cache-Control", b"no-store, no-transform"), *GUARDS[1:])
#: The ``Content-Type`` of problem details.
PROBLEM: Field = (b"Content-Type", b"application/problem+json")

_NO_BODY = frozenset({204, 304})
_GATEWAY = {
    502: b"the application cannot be reached, or its answer cannot be read",
    503: b"the application is busy",
    504: b"the application did not answer in time",
    508: b"the request came back to this companion: its upstream leads to a companion's listener",
}
# Before Python 3.13 the http module has the phrase of RFC 2616.
_PHRASES = {413: b"Content Too Large"}


def phrase(status: int) -> bytes:
    """The reason phrase of a status (RFC 9110 section 15), empty for one that has none."""
    known = _PHRASES.get(status)
    if known is not None:
        return known
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b""


# To programs.


def problem_body(status: int, title: str = "", **members: str) -> bytes:
    """Problem details as JSON.

    :param members: further members in their order; empty ones are left out.
    """
    members_by_name: dict[str, str | int] = {"type": "about:blank"}
    if title:
        members_by_name["title"] = title
    members_by_name["status"] = status
    members_by_name.update((name, value) for name, value in members.items() if value)
    return json.dumps(members_by_name).encode()


def problem(status: int, title: str = "", fields: Sequence[Field] = (), **members: str) -> InternalResponse:
    """A response with problem details (RFC 9457).

    :param fields: further fields.
    :param members: see :func:`problem_body`.
    """
    return InternalResponse(status, [PROBLEM, *fields, *GUARDS], problem_body(status, title, **members))


def not_allowed(methods: str) -> InternalResponse:
    """405 with the ``Allow`` field.

    :param methods: the value of ``Allow``.
    """
    answer = problem(405, detail=f"allowed: {methods}")
    return InternalResponse(405, [(b"Allow", methods.encode()), *answer.fields], answer.body)


def no_content() -> InternalResponse:
    """204."""
    return InternalResponse(204, list(GUARDS))


def guarded_text(status: int, text: str) -> InternalResponse:
    """One line of plain text with :data:`GUARDS`."""
    return InternalResponse(status, [(b"Content-Type", b"text/plain; charset=utf-8"), *GUARDS], text.encode() + b"\n")


# To visitors.


def gateway_error(status: int) -> InternalResponse:
    """502, 503, 504 or 508: the application gave no usable response."""
    fields = [(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store")]
    if status == 503:
        fields.append((b"Retry-After", b"5"))
    return InternalResponse(status, fields, _GATEWAY[status] + b"\n")


def refused_method() -> InternalResponse:
    """405 for a TRACE that ends here: it would show the fields that a balancer added."""
    fields = [(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store"), (b"Allow", b"GET, HEAD, OPTIONS")]
    return InternalResponse(405, fields, b"TRACE is not answered here\n")


def internal_error() -> InternalResponse:
    """500: a fault in the companion itself."""
    return InternalResponse(
        500, [(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-store")], b"internal error\n"
    )


# As bytes.


def write_response(answer: InternalResponse, request: RequestHead, *, keep_alive: bool, date_line: bytes) -> bytes:
    """Serialize a response, framed for its request.

    :param keep_alive: whether another request may follow on the connection.
    :param date_line: see :class:`~lbcompanion.node.proxy.dates.DateLine`.
    """
    fields = list(answer.fields)
    if answer.status != 204:
        length = len(answer.body) if answer.length is None else answer.length
        fields.append((b"Content-Length", b"%d" % length))
    if not keep_alive:
        fields.append((b"Connection", b"close"))
    elif request.version == 10:
        fields.append((b"Connection", b"keep-alive"))
    body = b"" if request.method == b"HEAD" or answer.status in _NO_BODY else answer.body
    return b"%b%b%b\r\n%b" % (
        write_status_line(answer.status, phrase(answer.status)),
        date_line,
        write_fields(fields),
        body,
    )


def write_refusal(status: int, why: str, date_line: bytes) -> bytes:
    """Serialize the response to a malformed request or to one over a limit; it closes the connection."""
    text = why.encode() + b"\n"
    fields = [(b"Content-Type", b"text/plain"), (b"Content-Length", b"%d" % len(text)), (b"Connection", b"close")]
    return b"%b%b%b\r\n%b" % (write_status_line(status, phrase(status)), date_line, write_fields(fields), text)
