"""Decides who may call an endpoint of the admin listener: finds the user, compares the roles, writes the audit log.

A user is known by the header of a trusted proxy, by an access token (RFC 6750), or by the cookie of a session. If a
request has one of these and it is wrong, the others are not tried. Where no log-in is configured, everybody is an
operator.
"""

from __future__ import annotations

import hmac
from collections.abc import Sequence
from functools import partial
from urllib.parse import quote

from attrs import evolve, frozen
from twisted.logger import Logger
from twisted.web.server import Request

from lbcompanion.crawler.access.login_pace import LoginPace
from lbcompanion.crawler.access.passwords import token_hash
from lbcompanion.crawler.access.roles import USER_ROLES, Role
from lbcompanion.crawler.access.sessions import Sessions
from lbcompanion.crawler.access.users_file import User, Users, UsersFile, UsersFileError, is_name
from lbcompanion.crawler.admin.audit_trail import AuditTrail, Subject
from lbcompanion.crawler.admin.client_address import Peer, peer_of
from lbcompanion.crawler.admin.endpoint import Call, Caller, Endpoint, HttpError
from lbcompanion.crawler.health import Health
from lbcompanion.crawler.metrics import CrawlerMetrics
from lbcompanion.crawler.queue.audit import FAILED, REFUSED
from lbcompanion.protocol import shapes
from lbcompanion.protocol.visitors import is_pseudonym
from lbcompanion.settings import Networks

#: The session's cookie. ``__Host-`` needs ``Secure``, which not every browser accepts without TLS.
SECURE_COOKIE, PLAIN_COOKIE = "__Host-lbc-admin", "lbc-admin"
#: The topic of :class:`~lbcompanion.crawler.health.Health`.
USERS_FILE = "users_file cannot be used, so nobody can log in"

_CHALLENGE = 'Bearer realm="lbcompanion"'
_SAFE_METHODS = (b"GET", b"HEAD")
#: How many cookies of the session's name are looked at.
_MAX_COOKIES = 4
_COMMAND = "command"


@frozen
class ForwardAuth:
    """The headers in which a trusted proxy names the user and the role.

    :ivar header: with the user's name; empty if no proxy names users.
    :ivar role_header: with the role; empty: the role is the one in the file of users.
    """

    header: str = ""
    role_header: str = ""


@frozen
class Access:
    """The parts that the guard and the log-in page share.

    :ivar users: the file of users; None without one.
    :ivar proxies: the trusted proxies.
    :ivar command_token: hash of the token of the crawler's own commands, or empty.
    """

    users: UsersFile | None
    sessions: Sessions
    pace: LoginPace
    trail: AuditTrail
    health: Health
    metrics: CrawlerMetrics
    proxies: Networks = ()
    forward_auth: ForwardAuth = ForwardAuth()
    command_token: str = ""

    @property
    def is_open(self) -> bool:
        """Whether no log-in is configured."""
        return self.users is None and not self.forward_auth.header

    def present_users(self) -> Users:
        """Return the users.

        :raises HttpError: 503 if their file cannot be used.
        """
        if self.users is None:
            return {}
        try:
            users = self.users.users()
        except UsersFileError as failure:
            self.health.failed(USERS_FILE, str(failure))
            raise HttpError(503, "the file of users cannot be used; the crawler's log says why") from None
        self.health.works(USERS_FILE)
        return users


class AccessGuard:
    """Checks each request."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._log = Logger(namespace="lbcompanion.crawler.admin.guard")

    async def check(self, call: Call, endpoint: Endpoint) -> Call:
        """Return the call with its user, once its line is in the audit log.

        :raises HttpError: 401 or a redirect to the log-in page if the user is not known; 403 if the user may not do it.
        """
        if endpoint.role is Role.ANYBODY:
            return call
        request, peer = call.request, peer_of(call.request, self._access.proxies)
        caller = await self._caller(request, peer)
        if caller is None:
            raise _log_in_first(request, has_page=self._access.users is not None)
        about, detail = _subject(call)
        if endpoint.role is Role.OPERATOR and caller.role is not Role.OPERATOR:
            action = endpoint.action or f"{request.method.decode('latin-1')} {endpoint.path}"
            await self._access.trail.write(caller, action, result=REFUSED, about=about, detail=detail)
            self._access.metrics.count_access_refused("role")
            raise HttpError(403, "the role operator is needed", _challenge("insufficient_scope", caller))
        if caller.how == "password" and request.method not in _SAFE_METHODS:
            require_same_origin(request)
        call = evolve(call, user=caller, recheck=partial(self._recheck, request, peer, endpoint))
        if not endpoint.action:
            return call
        number = await self._access.trail.write(caller, endpoint.action, about=about, detail=detail)
        return evolve(call, describe=partial(self._access.trail.describe, number))

    async def _recheck(self, request: Request, peer: Peer, endpoint: Endpoint) -> None:
        # The peer is that of the request's time: a request that is answered has no connection any more.
        caller = await self._caller(request, peer)
        if caller is None or (endpoint.role is Role.OPERATOR and caller.role is not Role.OPERATOR):
            raise HttpError(403, "the user may not do this any more")

    async def _caller(self, request: Request, peer: Peer) -> Caller | None:
        header = self._access.forward_auth.header
        names = request.requestHeaders.getRawHeaders(header, []) if header else []
        if names and not peer.is_proxy:
            raise await self._refuse_forged(peer)
        if self._access.is_open:
            return Caller("", Role.OPERATOR, "open", peer.client)
        if names:
            return await self._forwarded_user(request, names, peer)
        authorizations = request.requestHeaders.getRawHeaders("authorization", [])
        if authorizations:
            return await self._token_user(authorizations, peer)
        user = find_session_user(self._access, request, peer)
        return None if user is None else Caller(user.name, Role(user.role), "password", peer.client)

    async def _refuse_forged(self, peer: Peer) -> HttpError:
        header = self._access.forward_auth.header
        why = f"{header} came from {peer.connected or 'a Unix socket'}, which is not in admin_proxies"
        await self._count_failure(Caller("", Role.ANYBODY, "proxy", peer.client), f"{header} of no trusted proxy")
        self._log.warn("a request to the admin listener is refused: {why}", why=why)
        return HttpError(403, why)

    async def _forwarded_user(self, request: Request, names: Sequence[str], peer: Peer) -> Caller:
        forward_auth = self._access.forward_auth
        if len(names) > 1 or not is_name(names[0]):
            raise HttpError(400, f"{forward_auth.header} has to be one name of letters, digits, ., _, @ or -")
        if forward_auth.role_header:
            roles = request.requestHeaders.getRawHeaders(forward_auth.role_header, [])
            role = roles[0] if len(roles) == 1 else ""
        else:
            user = self._access.present_users().get(names[0])
            role = user.role if user is not None else ""
        if role not in USER_ROLES:
            await self._count_failure(Caller(names[0], Role.ANYBODY, "proxy", peer.client), "no role")
            raise HttpError(403, f"the user {names[0]} has no role: viewer or operator")
        return Caller(names[0], Role(role), "proxy", peer.client)

    async def _token_user(self, authorizations: Sequence[str], peer: Peer) -> Caller:
        if len(authorizations) > 1:
            raise HttpError(400, "there is more than one Authorization line")
        scheme, _, token = authorizations[0].partition(" ")
        if scheme.lower() != "bearer":
            raise HttpError(401, "Authorization has to be Bearer", _challenge())
        token = token.strip()
        if _is_command_token(token, self._access.command_token):
            return Caller(_COMMAND, Role.OPERATOR, _COMMAND, peer.client)
        self._access.present_users()
        user = self._access.users.of_token(token) if self._access.users is not None else None
        if user is not None:
            return Caller(user.name, Role(user.role), "token", peer.client)
        await self._count_failure(Caller("", Role.ANYBODY, "token", peer.client), "unknown token")
        raise HttpError(401, "the access token is not known", _challenge("invalid_token"))

    async def _count_failure(self, caller: Caller, detail: str) -> None:
        """Count a failure of an address, and write it into the audit log.

        :raises HttpError: 429 while the address has to wait; then nothing is written.
        """
        pace = self._access.pace
        self._access.metrics.count_access_refused(caller.how)
        if wait := pace.wait(caller.address):
            raise too_fast(wait)
        pace.begin(caller.address)
        await self._access.trail.write(caller, "log-in", result=FAILED, detail=detail)


def _subject(call: Call) -> tuple[Subject, str]:
    """Return what a call is about, and the tokens in its query, such as those of a comparison."""
    tokens = [each for name in ("token", "a", "b") if shapes.TOKEN.fullmatch(each := call.argument(name))]
    token, visitor = call.params.get("token", ""), call.params.get("visitor", "") or call.argument("visitor")
    # Another text could be the value of a visitor's cookie.
    visitor = visitor if is_pseudonym(visitor) else ""
    return Subject(token if shapes.TOKEN.fullmatch(token) else "", visitor), ", ".join(tokens)


def too_fast(wait: float) -> HttpError:
    """Return the answer to an attempt that comes too early."""
    seconds = str(int(wait) + 1)
    return HttpError(429, f"too many failed attempts; try again in {seconds} s", (("retry-after", seconds),))


def cookie_name(peer: Peer) -> str:
    """Return the name of the session's cookie. Over TLS only the name is accepted that no other host can set."""
    return SECURE_COOKIE if peer.is_https else PLAIN_COOKIE


def session_ids(request: Request, peer: Peer) -> list[str]:
    """Return the values of the session's cookie; a neighbour of the same host name may have added some."""
    name, found = cookie_name(peer), list[str]()
    for line in request.requestHeaders.getRawHeaders("cookie", []):
        for pair in line.split(";"):
            key, equals, value = pair.partition("=")
            if equals and key.strip() == name:
                found.append(value.strip())
    return list(dict.fromkeys(found))[:_MAX_COOKIES]


def find_session_user(access: Access, request: Request, peer: Peer) -> User | None:
    """Return the user of the request's session.

    :raises HttpError: 400 if it has the cookies of several sessions; 503 if the file of users cannot be used.
    """
    ids = session_ids(request, peer)
    if not ids or access.users is None:
        return None
    users = access.present_users()
    found = [user for each in ids if (user := access.sessions.find(each, users)) is not None]
    if len(found) > 1:
        raise HttpError(400, "the request has the cookies of several sessions; delete the cookies of this address")
    return found[0] if found else None


def require_same_origin(request: Request) -> None:
    """Refuse a request that changes something unless the browser says that a page of this origin sent it.

    The listener has compared ``Origin`` with ``Host`` before.

    :raises HttpError: 403.
    """
    headers = request.requestHeaders
    if not headers.hasHeader("origin") and headers.getRawHeaders("sec-fetch-site") != ["same-origin"]:
        raise HttpError(403, "the request does not say that it comes from a page of this address: it has no Origin")


def _is_command_token(token: str, known: str) -> bool:
    return bool(known) and hmac.compare_digest(token_hash(token), known)


def _challenge(error: str = "", caller: Caller | None = None) -> tuple[tuple[str, str], ...]:
    if caller is not None and caller.how not in ("token", _COMMAND):
        return ()
    return (("www-authenticate", _CHALLENGE + (f', error="{error}"' if error else "")),)


def _log_in_first(request: Request, *, has_page: bool) -> HttpError:
    """Return the answer to a request of an unknown user: for a page in a browser, a redirect to the log-in page."""
    path = request.uri.decode("latin-1")
    is_page = request.method in _SAFE_METHODS and b"text/html" in (request.getHeader(b"accept") or b"")
    if has_page and is_page and not path.startswith("/api/"):
        where = "/login" if path == "/" else f"/login?next={quote(path, safe='/')}"
        return HttpError(303, "log in first", (("location", where),))
    return HttpError(401, "log in first, or send an access token", _challenge())
