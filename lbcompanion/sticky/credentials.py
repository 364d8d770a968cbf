"""What looks like a session credential: a cookie that would let its finder act as the visitor.

A guess by name and by shape, on the careful side: what is held back by mistake costs a rung of the ladder, and
``allow_credentials`` names it free; what is recorded by mistake is a leak.
"""

from __future__ import annotations

import re

# Names that frameworks give their sessions by default, lower case.
_FAMOUS = frozenset(
    {
        "jsessionid", "jsessionidsso", "phpsessid", "asp.net_sessionid", "aspsessionid", "sessionid", "session",
        "session_id", "connect.sid", "laravel_session", "ci_session", "cfid", "cftoken", "cgisessid", "sid", "ssid",
        "hsid", "sess", "plack_session", "rack.session", "symfony", "kohanasession", "express.sid", "express:sess",
        "koa.sid", "koa:sess", "beaker.session.id", "ring-session", "play_session", "spring_session", "ltpatoken",
        "ltpatoken2", "fedauth", "fedauth1", ".aspxauth", ".aspxroles", "moodlesession", "mediawiki_session",
        "remember_me", "rememberme", "vaadin", "dancer.session", "mojolicious", "yii_session",
    }
)  # fmt: skip
_PREFIXES = ("__host-", "__secure-")
# Words that only a secret's name holds.
_HARD = re.compile(
    r"auth|token|csrf|xsrf|jwt|passw|secret|login|logged_?in|remember|bearer|identity|credential|oidc|saml|oauth|apikey|api_key"
)
# Words that a session's name holds, and sometimes a balancer's.
_SOFT = re.compile(r"sess|sid$|(^|[^a-z])sid([^a-z]|$)")
_BALANCERS = re.compile(r"affinity|stick|backend|upstream|balanc|route|(^|[^a-z])(lb|node|server|srv)([^a-z]|$)")
# What a farm calls its nodes: a word or two and a number. No secret is that plain.
_LABEL = re.compile(r"\.?([a-z][a-z_.-]{0,19}|[A-Z][A-Z_.-]{0,19}|[A-Z][a-z_.-]{0,19})[0-9]{0,3}", re.ASCII)
# A JSON object in base64 (JWT, Laravel), a signed session of Express, an authorisation line.
_SECRET_VALUE = re.compile(r"\"?(eyJ.{16,}|s(:|%3[Aa]).{16,}|(Bearer|Basic)( |%20|\+).*)", re.DOTALL)


def credential_name(name: str) -> bool:
    """Whether a cookie of this name is a session's or a secret's, whatever it holds."""
    lower = name.lower()
    for prefix in _PREFIXES:
        lower = lower.removeprefix(prefix)
    return lower in _FAMOUS or lower.startswith("aspsessionid") or _HARD.search(lower) is not None


def is_label(value: str) -> bool:
    """Whether a value is as plain as what a farm calls its nodes: ``n2``, ``web-01``, ``.node3``."""
    return _LABEL.fullmatch(value) is not None


def looks_like_credential(name: str, value: str) -> bool:
    """Whether a cookie may be a session's credential.

    :param value: the raw value; a name that only hints at a session is forgiven where the value is as plain as a
        node's name, or where the name speaks of a balancer too.
    """
    if credential_name(name) or _SECRET_VALUE.fullmatch(value):
        return True
    lower = name.lower()
    return _SOFT.search(lower) is not None and not _BALANCERS.search(lower) and not is_label(value)
