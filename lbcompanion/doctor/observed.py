"""What was seen of a site: frozen values, and how they are read out of answers. No I/O here."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from enum import Enum

from attrs import field, frozen

_CACHES = ("x-cache", "x-cache-status", "cf-cache-status", "x-proxy-cache", "cache-status")


class Spot(Enum):
    """Where a request went."""

    PAGE = "page"
    ROOT = "root"
    WHOAMI = "whoami"
    POST = "post"


@frozen
class Given:
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
class Answer:
    """One answer, or that none came.

    :ivar failure: the short word for why none came; empty where one did.
    :ivar node: what ``whoami`` says; empty where no companion answered.
    :ivar proven: whether its proof holds, for the nonce of this very request.
    :ivar proof: the proof as it came, to see one twice; empty where there was none.
    :ivar given: the cookies it hands out.
    :ivar headers: all others, names in lower case.
    :ivar body: a digest of the body.
    """

    spot: Spot
    status: int = 0
    failure: str = ""
    node: str = ""
    proven: bool = False
    proof: str = field(default="", repr=False)
    given: tuple[Given, ...] = ()
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
        told = [self.header(name).lower().replace(";", " ").replace(",", " ").split() for name in _CACHES]
        return any("hit" in words for words in told) or len(self.header("x-varnish").split()) == 2

    @property
    def jar(self) -> dict[str, str]:
        """The cookies handed out, by name, those taken away left out; the last of one name, as browsers have it."""
        return {one.name: one.value for one in self.given if not one.deleted}


class How(Enum):
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

    source: Answer | None
    names: tuple[str, ...]
    how: How
    answers: tuple[Answer, ...]


@frozen
class Observed:
    """All that was seen.

    :ivar path: of the address asked for.
    :ivar prefix: where the companions' paths are.
    :ivar secret_known: whether proofs could be checked.
    :ivar known_nodes: which nodes the configuration names.
    :ivar bare: the answers to requests without a cookie, in order.
    :ivar finished: whether all was asked that should have been.
    """

    origin: str
    path: str
    prefix: str = "/_lbc"
    secret_known: bool = False
    known_nodes: tuple[str, ...] = ()
    bare: tuple[Answer, ...] = ()
    replays: tuple[Replay, ...] = ()
    finished: bool = True
    requests: int = 0
    seconds: float = 0.0

    def at(self, spot: Spot) -> tuple[Answer, ...]:
        """The answers without a cookie at one place, failures left out."""
        return tuple(one for one in self.bare if one.spot is spot and not one.failure)

    @property
    def companions(self) -> bool:
        """Whether companions answer there."""
        return any(one.node for one in self.bare)

    @property
    def main(self) -> Spot:
        """Where it is asked who answers."""
        return Spot.WHOAMI if self.companions else Spot.PAGE


def given_by(line: str, path: str, now: str) -> Given | None:
    """Read a ``Set-Cookie`` line.

    :param path: of the request.
    :param now: the answer's ``Date``, by which ``Expires`` counts.
    :returns: None where it is no cookie.
    """
    pair, *attributes = line.split(";")
    name, equals, value = pair.partition("=")
    if not equals or not name.strip():
        return None
    told = {}
    for attribute in attributes:
        key, _, text = attribute.partition("=")
        told[key.strip().lower()] = text.strip()
    named = told.get("path", "").startswith("/")
    return Given(
        name=name.strip(),
        value=value.strip(),
        path=told["path"] if named else _folder(path),
        path_named=named,
        domain=told.get("domain", "").lstrip(".").lower(),
        http_only="httponly" in told,
        secure="secure" in told,
        same_site=told.get("samesite", "").capitalize(),
        seconds=_seconds(told, now),
    )


def _folder(path: str) -> str:
    return path[: path.rindex("/")] or "/" if path.startswith("/") else "/"


def _seconds(told: dict[str, str], now: str) -> float | None:
    """``Max-Age`` counts before ``Expires`` (RFC 6265 section 5.3)."""
    age = told.get("max-age", "")
    if age.lstrip("-").isascii() and age.lstrip("-").isdigit():
        return float(age)
    try:
        until = parsedate_to_datetime(told["expires"])
        return until.timestamp() - parsedate_to_datetime(now).timestamp()
    except KeyError:
        return None
    except (TypeError, ValueError, OverflowError):
        # A date nobody understands is no date; without the answer's own, only a past one can be told.
        return 0.0 if told.get("expires", "").endswith("1970 00:00:00 GMT") else None
