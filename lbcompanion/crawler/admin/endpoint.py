"""The parts of the admin listener's endpoints: a path with its methods, what it is called with, what it returns."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Iterable, Mapping
from typing import Any

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.web.server import Request

from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.admin.endpoint_doc import Doc
from lbcompanion.errors import CompanionError

JSON = "application/json"
HTML = "text/html; charset=utf-8"

#: CSP of our own pages: resources, forms and frames only from their own origin.
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; frame-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'self'"
)


class HttpError(CompanionError):
    """Ends a request with an error status.

    :ivar status: of the response.
    :ivar headers: further fields of the response.
    """

    def __init__(self, status: int, why: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        self.status = status
        self.headers = headers
        super().__init__(why)


@frozen
class Response:
    """A response: body, content type, further fields, status.

    A field here replaces the listener's own of the same name (``Cache-Control``, ``Referrer-Policy``).
    """

    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()
    status: int = 200


@frozen
class Stream:
    """A response whose body is written as the client takes it in, such as an exported file.

    :ivar start: is called once the head is written; it writes to the request, and returns a function that is called
        when the client has disconnected.
    """

    start: Callable[[Request], Callable[[], None]]
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


@frozen
class Caller:
    """The user or program that makes a request.

    :ivar name: of the user; empty where no log-in is configured.
    :ivar role: what the user may do.
    :ivar how: how the user is known: ``password``, ``token``, ``proxy``, ``command``; ``open`` where no log-in is
        configured.
    :ivar address: from where: the client's IP address, or empty for a Unix socket.
    """

    name: str
    role: Role
    how: str
    address: str = ""

    @property
    def is_operator(self) -> bool:
        """Whether this user may do everything."""
        return self.role is Role.OPERATOR


async def allow() -> None:
    """Allow a call that nobody checks."""


async def _describe_nothing(_detail: str) -> None:
    """For a call that has no line in the audit log."""


#: Raises an :class:`HttpError` if a user may not do any more what was allowed before.
Recheck = Callable[[], Coroutine[Deferred[Any], Any, None]]


@frozen
class Call:
    """One request to an endpoint.

    :ivar params: the values of the names in the endpoint's path.
    :ivar user: who makes it; None before the guard has checked it.
    :ivar describe: adds words to the call's line in the audit log, such as the names of criteria. They must not
        identify a visitor. Call it before anything is done: it raises an error if they cannot be written.
    :ivar recheck: raises an :class:`HttpError` if the caller may not make this request any more. It can be called after
        the response, too. A stream of events calls it now and then, a viewing with scripts at each of its requests.
    """

    request: Request
    params: Mapping[str, str] = field(factory=dict)
    user: Caller | None = None
    describe: Callable[[str], Coroutine[Deferred[Any], Any, None]] = _describe_nothing
    recheck: Recheck = allow

    def argument(self, name: str) -> str:
        """Return the first value of a query argument, or an empty text."""
        values: list[bytes] = (self.request.args or {}).get(name.encode(), [b""])
        return values[0].decode("utf-8", "replace")


Handler = Callable[[Call], Coroutine[Deferred[Any], Any, Response | Stream]]


@frozen
class Endpoint:
    """A path of the admin listener.

    :ivar path: such as ``/api/recordings/{token}/page``: a name in braces is any one segment.
    :ivar methods: ``GET`` includes ``HEAD``.
    :ivar role: who may call it.
    :ivar action: what the audit log names it, such as ``view page``; empty: it is not logged.
    :ivar doc: its description in the document of the API; None: it is no part of the API.
    """

    path: str
    handler: Handler
    methods: tuple[str, ...] = ("GET",)
    role: Role = Role.VIEWER
    action: str = ""
    doc: Doc | None = None
    _segments: tuple[str, ...] = field(init=False)

    def __attrs_post_init__(self) -> None:
        object.__setattr__(self, "_segments", tuple(self.path.split("/")[1:]))

    def match(self, segments: tuple[str, ...]) -> dict[str, str] | None:
        """Return the values of the path's names; None if a path is another one."""
        if len(self._segments) != len(segments):
            return None
        params: dict[str, str] = {}
        for each, given in zip(self._segments, segments, strict=True):
            if each.startswith("{"):
                params[each[1:-1]] = given
            elif each != given:
                return None
        return params

    def allows(self, method: str) -> bool:
        """Whether it answers a method."""
        return method in self.methods or (method == "HEAD" and "GET" in self.methods)


def allowed_methods(endpoints: Iterable[Endpoint]) -> str:
    """Return the value of ``Allow`` for the endpoints of one path."""
    names: list[str] = []
    for endpoint in endpoints:
        for method in endpoint.methods:
            names += ["GET", "HEAD"] if method == "GET" else [method]
    return ", ".join(dict.fromkeys(names))


def json_bytes(value: Any) -> bytes:
    """Write a value as JSON in UTF-8, with a line feed."""
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace") + b"\n"


def json_response(value: Any, status: int = 200) -> Response:
    """Return a response of JSON."""
    return Response(json_bytes(value), status=status)


def html_response(html: str, status: int = 200) -> Response:
    """Return a page of our own."""
    # With "no-referrer" a form of the page would be sent with "Origin: null", and refused.
    headers = (("content-security-policy", PAGE_POLICY), ("referrer-policy", "same-origin"))
    return Response(html.encode("utf-8", "replace"), HTML, headers, status)


def read_json_object(call: Call, max_bytes: int) -> dict[str, Any]:
    """Read the body of a request: a JSON object.

    The type has to be ``application/json``, which a form of another site cannot send.

    :raises HttpError: 400, 413 or 415.
    """
    request = call.request
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != JSON.encode():
        raise HttpError(415, "the body has to be application/json")
    data = request.content.read(max_bytes + 1) if request.content is not None else b""
    if len(data) > max_bytes:
        raise HttpError(413, f"more than {max_bytes} bytes")
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise HttpError(400, "the body has to be a JSON object")
    return given
