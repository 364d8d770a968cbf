"""What was seen of a site: frozen values, and how they are read out of answers. No I/O here."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from enum import Enum

from attrs import field, frozen

_CACHES = ("x-cache", "x-cache-status", "cf-cache-status", "x-proxy-cache", "cache-status")


class RequestKind(Enum):
    """Where a request went."""

    PAGE = "page"
    ROOT = "root"
    WHOAMI = "whoami"
    POST = "post"


@frozen
class ParsedSetCookie:
    """A cookie as one ``Set-Cookie`` line hands it out (RFC 6265 section 5.2).

    :ivar path: the scope; where the line names none, the folder of the address asked for (section 5.1.4).
    :ivar path_named: whether the line names it.
    :ivar seconds: how long it lives; None: until the browser is closed; 0 or less: it is taken away.
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
        """Whether the line takes the cookie away."""
        return not self.value or (self.seconds is not None and self.seconds <= 0)

    def covers(self, path: str) -> bool:
        """Whether a browser sends it along to a path (RFC 6265 section 5.1.4)."""
        return path == self.path or path.startswith(self.path if self.path.endswith("/") else f"{self.path}/")


@frozen
class ProbeResponse:
    """One answer, or that none came.

    :ivar failure: the short word for why none came; empty where one did.
    :ivar node: what ``whoami`` says; empty where no companion answered.
    :ivar proven: whether its proof holds, for the nonce of this very request.
    :ivar proof: the proof as it came, to see one twice; empty where there was none.
    :ivar set_cookies: the cookies it hands out.
    :ivar headers: all others, names in lower case.
    :ivar body: a digest of the body.
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

    def header(self, name: str) -> str:
        """The first value of a header, or empty."""
        return next((value for key, value in self.headers if key == name), "")

    @property
    def from_cache(self) -> bool:
        """Whether a cache gave it, by the fields that caches write (RFC 9111 section 5.1, RFC 9211, the customary
        ones)."""
        age = self.header("age")
        if age.isascii() and age.isdigit() and int(age) > 0:
            return True
        values = [self.header(name).lower().replace(";", " ").replace(",", " ").split() for name in _CACHES]
        return any("hit" in words for words in values) or len(self.header("x-varnish").split()) == 2

    @property
    def jar(self) -> dict[str, str]:
        """The cookies handed out, by name, those taken away left out; the last of one name, as browsers have it."""
        return {one.name: one.value for one in self.set_cookies if not one.deleted}


class ReplayMode(Enum):
    """Which part of what was handed out was sent again."""

    WHOLE = "whole"
    ALONE = "alone"
    WITHOUT = "without one"
    REDUCED = "routing part only"
    INVENTED = "an invented value"


@frozen
class Replay:
    """Cookies sent again, several times.

    :ivar source: the answer that handed them out; None for an invented value.
    :ivar names: the cookies sent.
    """

    source: ProbeResponse | None
    names: tuple[str, ...]
    mode: ReplayMode
    responses: tuple[ProbeResponse, ...]


@frozen
class Observations:
    """All that was seen.

    :ivar path: of the address asked for.
    :ivar prefix: where the companions' paths are.
    :ivar secret_known: whether proofs could be checked.
    :ivar known_nodes: which nodes the configuration names.
    :ivar without_cookie: the answers to requests without a cookie, in order.
    :ivar finished: whether all was asked that should have been.
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

    def responses_to(self, kind: RequestKind) -> tuple[ProbeResponse, ...]:
        """The answers without a cookie at one place, failures left out."""
        return tuple(one for one in self.without_cookie if one.kind is kind and not one.failure)

    @property
    def has_companions(self) -> bool:
        """Whether companions answer there."""
        return any(one.node for one in self.without_cookie)

    @property
    def main_kind(self) -> RequestKind:
        """Where it is asked who answers."""
        return RequestKind.WHOAMI if self.has_companions else RequestKind.PAGE


def parse_set_cookie(line: str, path: str, now: str) -> ParsedSetCookie | None:
    """Read a ``Set-Cookie`` line.

    :param path: of the request.
    :param now: the answer's ``Date``, by which ``Expires`` counts.
    :returns: None where it is no cookie.
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
    if age.lstrip("-").isascii() and age.lstrip("-").isdigit():
        return float(age)
    try:
        until = parsedate_to_datetime(values["expires"])
        return until.timestamp() - parsedate_to_datetime(now).timestamp()
    except KeyError:
        return None
    except (TypeError, ValueError, OverflowError):
        # A date nobody understands is no date; without the answer's own, only a past one can be told.
        return 0.0 if values.get("expires", "").endswith("1970 00:00:00 GMT") else None
