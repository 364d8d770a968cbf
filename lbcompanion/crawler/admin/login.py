"""The log-in page, and the end of a session: ``/login`` and ``/logout``. They work without a script."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.web.server import Request

from lbcompanion.crawler.access.passwords import DEFAULT_COST, MAX_PASSWORD_BYTES, PasswordHash
from lbcompanion.crawler.access.roles import Role
from lbcompanion.crawler.access.users_file import User
from lbcompanion.crawler.admin.client_address import Peer, peer_of
from lbcompanion.crawler.admin.dashboard.rendering import render
from lbcompanion.crawler.admin.endpoint import Call, Caller, Endpoint, HttpError, Response, html_response
from lbcompanion.crawler.admin.guard import Access, cookie_name, require_same_origin, session_ids, too_fast
from lbcompanion.crawler.queue.audit import FAILED, REFUSED

#: How many passwords may wait for their check; each takes a quarter of a second.
MAX_WAITING = 8
_MAX_FORM_BYTES = 8 * MAX_PASSWORD_BYTES
_MAX_NAME = 64
#: A path of this listener. With a second slash or a backslash, browsers would read the name of another host.
_PATH = re.compile(r"/(?!/)[!-\[\]-~]{0,2000}", re.ASCII)
_LOG_IN, _LOG_OUT = "log-in", "log-out"

InThread = Callable[..., Deferred[Any]]


class LogIn:
    """The log-in by name and password.

    :param in_thread: runs the checks of passwords on one thread, so that memory is bounded.
    """

    def __init__(self, access: Access, in_thread: InThread) -> None:
        self._access = access
        self._in_thread = in_thread
        self._waiting = 0
        self._log = Logger(namespace="lbcompanion.crawler.admin.login")

    def endpoints(self) -> list[Endpoint]:
        """Return the endpoints."""
        return [
            Endpoint("/login", self._form, role=Role.ANYBODY),
            Endpoint("/login", self._log_in, ("POST",), role=Role.ANYBODY),
            Endpoint("/logout", self._log_out, ("POST",), role=Role.ANYBODY),
        ]

    async def _form(self, call: Call) -> Response:
        return _page(_safe_path(call.argument("next")))

    async def _log_in(self, call: Call) -> Response:
        require_same_origin(call.request)
        peer, form = peer_of(call.request, self._access.proxies), _read_form(call.request)
        name, following = form.get("name", "").strip()[:_MAX_NAME], _safe_path(form.get("next", ""))
        try:
            user = await self._checked(name, form.get("password", ""), peer)
        except HttpError as refused:
            if refused.status not in (403, 429):
                raise
            return _page(following, name=name, why=str(refused), status=refused.status, headers=refused.headers)
        for each in session_ids(call.request, peer):
            self._access.sessions.end(each)
        cookie = _cookie(peer, self._access.sessions.begin(user))
        return Response(b"", headers=(("location", following), ("set-cookie", cookie)), status=303)

    async def _checked(self, name: str, password: str, peer: Peer) -> User:
        """Return the user, if the password is right.

        :raises HttpError: 403 if name or password is wrong, 429 if the attempt comes too early.
        """
        pace, metrics, users = self._access.pace, self._access.metrics, self._access.present_users()
        user = users.get(name)
        # A name that is not known may be a password in the wrong field, so it is not logged.
        caller = Caller(user.name if user else "", Role.ANYBODY, "password", peer.client)
        if wait := pace.wait(peer.client, name):
            metrics.count_log_in("slowed")
            if pace.is_first_refusal(peer.client, name):
                await self._access.trail.write(caller, _LOG_IN, result=REFUSED, detail="too many failed attempts")
            raise too_fast(wait)
        if self._waiting >= MAX_WAITING:
            metrics.count_log_in("slowed")
            raise too_fast(1.0)
        pace.begin(peer.client, name)
        self._waiting += 1
        try:
            is_right = await self._in_thread(self._hash_of(user).matches, password)
        finally:
            self._waiting -= 1
        user = self._access.present_users().get(name)  # the file may have changed meanwhile
        if not is_right or user is None or caller.name != user.name or user.password != users[name].password:
            metrics.count_log_in("failed")
            self._log.warn(
                "a log-in failed: {user} from {address}", user=caller.name or "unknown name", address=peer.client
            )
            detail = "wrong password" if caller.name else "unknown name"
            await self._access.trail.write(caller, _LOG_IN, result=FAILED, detail=detail)
            raise HttpError(403, "The name or the password is wrong.")
        await self._access.trail.write(caller, _LOG_IN)
        pace.succeeded(peer.client, name)
        metrics.count_log_in("accepted")
        return user

    def _hash_of(self, user: User | None) -> PasswordHash:
        """Return the hash to compare with. An unknown name takes as long as a known one."""
        if user is not None and user.password is not None:
            return user.password
        costs = [each.password.cost for each in self._access.present_users().values() if each.password is not None]
        return PasswordHash.unknown(costs[0] if costs else DEFAULT_COST)

    async def _log_out(self, call: Call) -> Response:
        require_same_origin(call.request)
        peer = peer_of(call.request, self._access.proxies)
        users = self._access.present_users()
        for each in session_ids(call.request, peer):
            user = self._access.sessions.find(each, users)
            self._access.sessions.end(each)
            if user is not None:
                await self._access.trail.write(Caller(user.name, Role(user.role), "password", peer.client), _LOG_OUT)
        cookie = f"{_cookie(peer, '')}; Max-Age=0"
        return Response(b"", headers=(("location", "/login"), ("set-cookie", cookie)), status=303)


def _page(
    following: str, *, name: str = "", why: str = "", status: int = 200, headers: tuple[tuple[str, str], ...] = ()
) -> Response:
    made = html_response(render("login.html", here="", name=name, why=why, next=following), status)
    return Response(made.body, made.content_type, (*made.headers, *headers), made.status)


def _cookie(peer: Peer, value: str) -> str:
    secure = "; Secure" if peer.is_https else ""
    # Lax: a link in a mail leads to the page. Nothing is changed by GET.
    return f"{cookie_name(peer)}={value}; Path=/; HttpOnly; SameSite=Lax{secure}"


def _read_form(request: Request) -> Mapping[str, str]:
    """Read a form: the first value of each field. The query of the address is not read: a password must not be there.

    :raises HttpError: 400, 413 or 415.
    """
    kind = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind != b"application/x-www-form-urlencoded":
        raise HttpError(415, "the body has to be a form")
    if request.content is None:
        return {}
    request.content.seek(0)
    data = request.content.read(_MAX_FORM_BYTES + 1)
    if len(data) > _MAX_FORM_BYTES:
        raise HttpError(413, f"more than {_MAX_FORM_BYTES} bytes")
    try:
        fields = parse_qs(data.decode("ascii"), keep_blank_values=True, max_num_fields=10)
    except ValueError:
        raise HttpError(400, "the form cannot be read") from None
    return {name: values[0] for name, values in fields.items()}


def _safe_path(given: str) -> str:
    """Return a path of this listener to go to after the log-in; ``/`` for anything else."""
    return given if _PATH.fullmatch(given) and not given.startswith(("/login", "/logout")) else "/"
