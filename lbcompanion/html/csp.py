"""Decides whether a page's Content Security Policy allows the inserted scripts (CSP Level 3).

Each enforced policy must allow the script. The page's own nonce is used if it has one; no nonce is added to a policy.
Inline scripts are also allowed by their hashes. With ``csp = "adapt"`` :mod:`lbcompanion.html.csp_adapt` adds missing
sources.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import SplitResult, urljoin, urlsplit

from attrs import frozen

_DIRECTIVE = re.compile(r"[A-Za-z0-9-]+", re.ASCII)
_NONCE = re.compile(r"'nonce-([A-Za-z0-9+/_-]+={0,2})'", re.ASCII | re.IGNORECASE)
_HASH = re.compile(r"'sha(?:256|384|512)-[A-Za-z0-9+/_-]+={0,2}'", re.ASCII | re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):", re.ASCII)
_HOST = re.compile(
    r"(?:(?P<scheme>[A-Za-z][A-Za-z0-9+.-]*)://)?(?P<host>\*|(?:\*\.)?[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]+|\*))?(?P<path>/[^?#]*)?",
    re.ASCII,
)
_PORTS = {"http": 80, "https": 443}
#: The directives that decide about a script element, and about a request by a script; the first one there counts.
SCRIPTS = ("script-src-elem", "script-src", "default-src")
CONNECTS = ("connect-src", "default-src")

#: Longer policies are not read: the time for reading them is the visitor's. Servers limit a head to 8 to 16 KB.
MAX_POLICY_CHARS = 16_384

#: One policy: names of directives in lower case, each with its values; the first of a name counts.
Policy = dict[str, tuple[str, ...]]


@frozen
class ScriptVerdict:
    """The decision of the policies about the script.

    :ivar allowed: whether it may be inserted.
    :ivar nonce: the page's own nonce that it needs for that; None where it needs none.
    :ivar directive: the directive that forbids it, or that the policies are too long; empty where it is allowed.
    """

    allowed: bool
    nonce: str | None = None
    directive: str = ""


ALLOWED = ScriptVerdict(allowed=True)


@frozen
class InsertedScripts:
    """The scripts that are inserted into a page, as input for policies.

    :ivar external: a script with ``src``, the recorder's address.
    :ivar inline: a script without it.
    :ivar hashes: of the inline scripts, by :func:`lbcompanion.html.snippets.inline_hashes`; empty: unknown.
    :ivar carries_nonce: whether the scripts have the page's nonce, if the page has one.
    """

    external: bool = True
    inline: bool = False
    hashes: tuple[str, ...] = ()
    carries_nonce: bool = True


#: The built-in tag.
DEFAULT_TAG = InsertedScripts()


def parse(value: str) -> list[Policy]:
    """Read one ``Content-Security-Policy`` value, which may hold several policies (CSP section 2.2.2)."""
    policies = []
    # A policy that is repeated changes nothing.
    for text in dict.fromkeys(value.split(",")):
        policy: Policy = {}
        for directive in text.split(";"):
            words = directive.split()
            if words and _DIRECTIVE.fullmatch(words[0]):
                policy.setdefault(words[0].lower(), tuple(words[1:]))
        if policy:
            policies.append(policy)
    return policies


def evaluate(
    values: Iterable[bytes | str],
    script_url: str,
    *,
    inline: bool = False,
    inserted: InsertedScripts | None = None,
    max_chars: int = MAX_POLICY_CHARS,
) -> ScriptVerdict:
    """Judge the recorder script, and what it posts to its own origin, by a page's enforcing policies.

    :param values: all ``Content-Security-Policy`` values, of header lines and of ``<meta>`` tags.
    :param script_url: the script's absolute URL; its origin is the page's own.
    :param inline: the snippet has a script without ``src`` as well, of which nothing more is known.
    :param inserted: a description of the snippets, instead of ``inline``.
    :param max_chars: longer policies are not read, and forbid the script.
    """
    inserted = inserted or InsertedScripts(inline=inline)
    nonces: set[str] | None = None
    target = urlsplit(script_url)
    notice_url = notice_target(script_url)
    texts = [value.decode("latin-1") if isinstance(value, bytes) else value for value in values]
    if sum(map(len, texts)) > max_chars:
        return ScriptVerdict(False, None, f"more than {max_chars} bytes")
    for text in texts:
        for policy in parse(text):
            directive, needed = _evaluate_policy(policy, target, notice_url, inserted)
            if directive:
                return ScriptVerdict(allowed=False, directive=directive)
            if needed is not None:
                nonces = needed if nonces is None else nonces & needed
                if not nonces:
                    return ScriptVerdict(allowed=False, directive=effective_directive(policy, SCRIPTS) or "script-src")
    return ALLOWED if nonces is None else ScriptVerdict(allowed=True, nonce=min(nonces))


def notice_target(script_url: str) -> SplitResult:
    """The URL to which the script of that URL posts its notices."""
    return urlsplit(urljoin(script_url, "notice"))


def effective_directive(policy: Policy, names: tuple[str, ...]) -> str | None:
    """The effective directive (CSP section 6.8.1): the first of the fall-back list that the policy has."""
    return next((name for name in names if name in policy), None)


def source_nonces(sources: Iterable[str]) -> set[str]:
    """The nonces among a directive's values."""
    return {found.group(1) for word in sources if (found := _NONCE.fullmatch(word))}


def is_sandboxed(policy: Policy) -> bool:
    """Whether no script at all may run."""
    return "sandbox" in policy and "allow-scripts" not in [word.lower() for word in policy["sandbox"]]


def _evaluate_policy(
    policy: Policy, target: SplitResult, notice_url: SplitResult, inserted: InsertedScripts
) -> tuple[str, set[str] | None]:
    """The blocking directive, or an empty string and the nonces of which one is needed (None: no nonce is needed)."""
    if is_sandboxed(policy):
        return "sandbox", None
    connects = effective_directive(policy, CONNECTS)
    if connects and not url_allowed(policy[connects], notice_url):
        return connects, None
    scripts = effective_directive(policy, SCRIPTS)
    if scripts is None:
        return "", None
    sources = policy[scripts]
    if allowed_without_nonce(sources, target, inserted):
        return "", None
    nonces = source_nonces(sources) if inserted.carries_nonce else set()
    return ("", nonces) if nonces else (scripts, None)


def allowed_without_nonce(sources: tuple[str, ...], target: SplitResult, inserted: InsertedScripts) -> bool:
    """Whether these sources allow the inserted scripts without a nonce."""
    if inserted.inline and not inline_allowed(sources, inserted.hashes):
        return False
    if is_strict(sources):
        # A script that an allowed script loads is allowed too. So an inline script must be there, and no other one.
        return inserted.inline and not inserted.external
    return url_allowed(sources, target)


def is_strict(sources: Iterable[str]) -> bool:
    """Whether hosts, schemes and 'unsafe-inline' are void (CSP section 8.2)."""
    return "'strict-dynamic'" in {word.lower() for word in sources}


def inline_allowed(sources: tuple[str, ...], hashes: tuple[str, ...]) -> bool:
    """Whether these sources allow scripts in line (CSP sections 6.7.3.2 and 6.7.3.3).

    A nonce, a hash or 'strict-dynamic' switches 'unsafe-inline' off; a hash among the sources allows its own script.
    """
    voided = is_strict(sources) or any(_NONCE.fullmatch(word) or _HASH.fullmatch(word) for word in sources)
    if not voided:
        return "'unsafe-inline'" in {word.lower() for word in sources}
    listed = {_normalised_hash(word) for word in sources if _HASH.fullmatch(word)}
    return bool(hashes) and all(_normalised_hash(one) in listed for one in hashes)


def _normalised_hash(word: str) -> str:
    """A hash in one way of writing it: of base64's two alphabets, the first."""
    algorithm, _, digest = word.strip("'").partition("-")
    return f"{algorithm.lower()}-{digest.replace('-', '+').replace('_', '/')}"


def url_allowed(sources: tuple[str, ...], target: SplitResult) -> bool:
    """Whether one of the sources allows a URL of the page's own origin."""
    return any(_matches(word, target) for word in sources)


def _matches(word: str, target: SplitResult) -> bool:
    """Whether one source expression allows a URL of the page's own origin (CSP section 6.7.2.8)."""
    if word == "*" or word.lower() == "'self'":
        return True
    if word.startswith("'"):
        return False
    if scheme := _SCHEME.fullmatch(word):
        return _scheme_matches(scheme.group(1).lower(), target.scheme)
    source = _HOST.fullmatch(word)
    if source is None:
        return False
    if source["scheme"] and not _scheme_matches(source["scheme"].lower(), target.scheme):
        return False
    return (
        _host_matches(source["host"].lower(), (target.hostname or "").lower())
        and _port_matches(source["port"], source["scheme"], target)
        and _path_matches(source["path"], target.path)
    )


def _scheme_matches(allowed: str, scheme: str) -> bool:
    return allowed == scheme or (allowed == "http" and scheme == "https")


def _host_matches(pattern: str, host: str) -> bool:
    if pattern == "*":
        return True
    if pattern.startswith("*."):
        return host.endswith(pattern[1:])
    return pattern.strip("[]") == host


def _port_matches(port: str | None, scheme: str | None, target: SplitResult) -> bool:
    if port == "*":
        return True
    default = _PORTS.get(target.scheme)
    actual = target.port or default
    if port is None:
        return actual == default
    return int(port) == actual or (port == "80" and actual == 443 and target.scheme == "https")


def _path_matches(path: str | None, actual: str) -> bool:
    if not path or path == "/":
        return True
    return actual.startswith(path) if path.endswith("/") else actual == path
