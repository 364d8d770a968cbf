"""Observations of a site, as frozen values, and the parsing of responses into them. Pure: no I/O."""

from __future__ import annotations

import re
from enum import Enum

from attrs import field, frozen

from lbcompanion.http1.dates import parse_cookie_date

#: What a step's result says if all is well.
DONE = "ok"
#: An expiry before 2000-01-01 deletes a cookie, even if the response's Date is not known.
_LONG_AGO = 946_684_800
_SECONDS = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_CACHES = ("x-cache", "x-cache-status", "cf-cache-status", "x-proxy-cache", "cache-status")


class RequestKind(Enum):
    """The kinds of request that the doctor sends."""

    PAGE = "page"
    ROOT = "root"
    WHOAMI = "whoami"
    POST = "post"


@frozen
class ParsedSetCookie:
    """A parsed ``Set-Cookie`` field line (RFC 6265 section 5.2).

    :ivar path: the scope; if the line has no Path, the default path of the request (section 5.1.4).
    :ivar path_named: whether the line has a Path.
    :ivar seconds: its lifetime; None for a session cookie; 0 or less deletes it.
    """

    name: str
    value: str = field(repr=False)
    path: str = "/"
    path_named: bool = False
    domain: str = ""
    http_only: bool = False
    secure: bool = False
    same_site: str = ""
    seconds: float | None = None

    @property
    def deleted(self) -> bool:
        """Whether the line deletes the cookie."""
        return not self.value or (self.seconds is not None and self.seconds <= 0)

    def covers(self, path: str) -> bool:
        """Return whether a browser sends the cookie with a request for this path (RFC 6265 section 5.1.4)."""
        return path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")


@frozen
class ProbeResponse:
    """A response, or the failure to get one.

    :ivar failure: a short word for the reason; empty if a response came.
    :ivar node: the node that ``whoami`` names; empty if no companion responded.
    :ivar proven: whether its proof is valid for this request's nonce.
    :ivar proof: the proof as received, to detect a repeated one; empty if there was none.
    :ivar set_cookies: the cookies it sets.
    :ivar headers: all other fields, names in lower case.
    :ivar body: a digest of the body.
    :ivar redirects: how many redirects of a cookie check came before it.
    :ivar seen: the request's fields as the companion saw them, names in lower case; empty if it does not say.
    :ivar has_tag: whether its body has the companion's tag.
    """

    kind: RequestKind
    status: int = 0
    failure: str = ""
    node: str = ""
    proven: bool = False
    proof: str = field(default="", repr=False)
    set_cookies: tuple[ParsedSetCookie, ...] = ()
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    body: str = field(default="", repr=False)
    redirects: int = 0
    seen: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    has_tag: bool = False

    def header(self, name: str) -> str:
        """Return the first value of a header field, or the empty string."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def from_cache(self) -> bool:
        """Whether a cache sent it, by ``Age`` (RFC 9111 section 5.1), ``Cache-Status`` (RFC 9211) or ``X-Cache``."""
        age = self.header("age")
        if age.isascii() and age.isdigit() and int(age) > 0:
            return True
        values = [self.header(name).lower().replace(";", " ").replace(",", " ").split() for name in _CACHES]
        return any("hit" in words for words in values) or len(self.header("x-varnish").split()) == 2

    @property
    def jar(self) -> dict[str, str]:
        """The cookies set, name to value, without deleted ones; the last of one name counts, as in browsers."""
        return {set_cookie.name: set_cookie.value for set_cookie in self.set_cookies if not set_cookie.deleted}


class ReplayMode(Enum):
    """The cookies of a response that were sent again."""

    WHOLE = "whole"
    ALONE = "alone"
    WITHOUT = "without one"
    REDUCED = "routing part only"
    INVENTED = "an invented value"


@frozen
class Replay:
    """Cookies that were sent again, several times.

    :ivar source: the response that set them; None for an invented value.
    :ivar names: the cookies sent.
    """

    source: ProbeResponse | None
    names: tuple[str, ...]
    mode: ReplayMode
    responses: tuple[ProbeResponse, ...]


@frozen
class UpstreamUse:
    """What a node says about its connections to the application; the numbers are those of one of its processes.

    :ivar configured: ``[limits] upstream_connections`` of the node; 0: none.
    :ivar limit: the limit that holds now; 0: none.
    :ivar workers: the number of connections that the application serves at a time, as estimated; 0: unknown.
    :ivar waited: the number of requests that had to wait for a connection, of ``requests``.
    """

    node: str
    configured: int
    limit: int
    workers: int
    waited: int
    requests: int


@frozen
class Journey:
    """The results of the journey's steps; empty text for a step that was not tried.

    :ivar page: ``ok`` for an HTML page with the tag, ``no tag``, ``not HTML``, ``status N`` or the word for a failure.
    :ivar forbidden: the directive of the page's policy that forbids the script; empty if none does.
    :ivar page_origin: the origin that the node gives to the page's copy, by the tag.
    :ivar script: ``ok``, or what came instead of the script.
    :ivar script_url: the script's URL.
    :ivar notice: ``ok`` if a companion read the notice, or what came instead.
    :ivar fetch: the result of a signed fetch, as the crawler names it; ``fetched`` or the reason of a proven miss.
    :ivar fetch_proven: whether a companion proved that answer.
    :ivar confirmed: whether the confirmation was answered by a companion; None if it was not tried.
    :ivar upstream: the connections of a node to the application; None if no node told.
    """

    page: str = ""
    forbidden: str = ""
    page_origin: str = ""
    script: str = ""
    script_url: str = ""
    notice: str = ""
    fetch: str = ""
    fetch_proven: bool = False
    confirmed: bool | None = None
    upstream: UpstreamUse | None = None


@frozen
class Observations:
    """All observations of a site.

    :ivar path: the requested URL's path.
    :ivar prefix: the prefix of the companions' own paths.
    :ivar secret_known: whether proofs could be verified.
    :ivar known_nodes: the nodes that the configuration names.
    :ivar without_cookie: the responses to requests without a cookie, in order.
    :ivar finished: whether all planned requests were sent.
    :ivar delays: how often the site answered that it gets too many requests, so that the doctor waited.
    :ivar user_agent: the ``User-Agent`` that the doctor sent.
    :ivar journey: the journey of one page; None if there are no companions, or if it was not made.
    """

    origin: str
    path: str
    prefix: str = "/_lbc"
    secret_known: bool = False
    known_nodes: tuple[str, ...] = ()
    without_cookie: tuple[ProbeResponse, ...] = ()
    replays: tuple[Replay, ...] = ()
    finished: bool = True
    request_count: int = 0
    seconds: float = 0.0
    delays: int = 0
    user_agent: str = ""
    journey: Journey | None = None

    def responses_to(self, kind: RequestKind) -> tuple[ProbeResponse, ...]:
        """Return the responses to one kind of request without a cookie, failures left out."""
        return tuple(response for response in self.without_cookie if response.kind is kind and not response.failure)

    @property
    def has_companions(self) -> bool:
        """Whether companions respond on this site."""
        return any(response.node for response in self.without_cookie)

    @property
    def main_kind(self) -> RequestKind:
        """The kind of request that identifies nodes."""
        return RequestKind.WHOAMI if self.has_companions else RequestKind.PAGE


def parse_set_cookie(line: str, path: str, now: str) -> ParsedSetCookie | None:
    """Parse a ``Set-Cookie`` field line.

    :param path: the request's path.
    :param now: the response's ``Date``, to which ``Expires`` is relative.
    :returns: None if the line is not a cookie.
    """
    pair, *attributes = line.split(";")
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    values = {}
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        values[key.strip().lower()] = text.strip()
    named = values.get("path", "").startswith("/")
    return ParsedSetCookie(
        name=name.strip(),
        value=value.strip(),
        path=values["path"] if named else _folder(path),
        path_named=named,
        domain=values.get("domain", "").lstrip(".").lower(),
        http_only="httponly" in values,
        secure="secure" in values,
        same_site=values.get("samesite", "").capitalize(),
        seconds=_seconds(values, now),
    )


def _folder(path: str) -> str:
    return path[: path.rindex("/")] or "/" if path.startswith("/") else "/"


def _seconds(values: dict[str, str], now: str) -> float | None:
    """``Max-Age`` counts before ``Expires`` (RFC 6265 section 5.3)."""
    age = values.get("max-age", "")
    if _SECONDS.fullmatch(age):
        return float(age)
    ends, sent = parse_cookie_date(values.get("expires", "")), parse_cookie_date(now)
    if ends is None:
        return None
    if sent is None:
        return 0.0 if ends < _LONG_AGO else None
    return ends - sent
