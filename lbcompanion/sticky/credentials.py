"""Recognises session credentials: cookies with which another client could act as the visitor.

This is a cautious guess by name and shape. A cookie that is refused by mistake costs a rung of the ladder, and
``allow_credentials`` can permit it. A session that is recorded by mistake is a leak.

The functions judge a name and a value only. The dialect decides whether a value is recorded:
:meth:`lbcompanion.sticky.dialects.shapes.Shape.may_be_recorded`.

A session may have any name. If the writer of a cookie is unknown, its value decides: one that is as long as a
session's id and does not read as the name or the address of a node counts as a session's.
"""

from __future__ import annotations

import re

# Names that frameworks give their sessions by default, lower case.
_FRAMEWORK_SESSIONS = frozenset(
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
_SECRET_WORDS = re.compile(
    r"auth|token|csrf|xsrf|jwt|passw|secret|login|logged_?in|remember|bearer|identity|credential|oidc|saml|oauth|apikey|api_key"
)
# Words that a session's name holds, and sometimes a balancer's.
_SESSION_WORDS = re.compile(r"sess|sid$|(^|[^a-z])sid([^a-z]|$)")
_BALANCER_WORDS = re.compile(r"affinity|stick|backend|upstream|balanc|route|(^|[^a-z])(lb|node|server|srv)([^a-z]|$)")
# What a farm calls its nodes: a word or two and a number. No secret is that plain.
_LABEL = re.compile(r"\.?([a-z][a-z_.-]{0,19}|[A-Z][A-Z_.-]{0,19}|[A-Z][a-z_.-]{0,19})[0-9]{0,3}", re.ASCII)
# A JSON object in base64 (JWT, Laravel), a signed session of Express, an authorisation line.
_SECRET_VALUE = re.compile(r"\"?(eyJ.{16,}|s(:|%3[Aa]).{16,}|(Bearer|Basic)( |%20|\+).*)", re.DOTALL)

#: From this length on a value can be a session's id: 16 hex digits are 64 bits, the least that is used for one.
ID_LENGTH = 16
# Letters of both cases and digits: eleven of them are more than 64 bits.
_DENSE = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9])[A-Za-z0-9_-]{11,}", re.ASCII)
# One part of a node's name: a word with a number (``web01``, ``nodeA``, ``appServer2``), a number, or one with a letter
# (``us-east-1a``). Without a separator no such part is as long as an id.
_WORD = (
    r"(?:(?![A-Za-z0-9]{16})(?:[a-z]{1,12}|[A-Z]{1,12}|(?:[a-z]{2,12}|[A-Z][a-z]{1,11})(?:[A-Z][a-z]{2,11})?[A-Z]?)"
    r"[0-9]{0,4}|[0-9]{1,5}[a-z]?)"
)
_SEPARATOR = r"[._:| -]"
_HOST = rf"(?:{_WORD}(?:[.-]{_WORD})*|\[[0-9A-Fa-f:.]{{2,45}}(?:%[0-9]{{1,5}})?\])(?::[0-9]{{1,5}})?"
# What Kubernetes appends to the name of a deployment for a pod; its alphabet has no vowels and no 0, 1 and 3.
_POD = rf"(?:{_WORD}-)+[bcdfghjklmnpqrstvwxz2456789]{{6,10}}-[bcdfghjklmnpqrstvwxz2456789]{{5}}"
_NODE_TEXT = re.compile(
    rf"{_SEPARATOR}?{_WORD}(?:{_SEPARATOR}{_WORD})*[~|]?"
    rf"|(?:https?://)?{_HOST}/?"
    rf"|{_POD}"
    r"|[0-9]{1,3}(?:\.[0-9]{1,3}){3}%[0-9]{1,5}:[0-9]{1,5}"  # an address in a route domain
    r"|i-[0-9a-f]{8}(?:[0-9a-f]{9})?",  # an instance of EC2
    re.ASCII,
)
# How Express marks a signed cookie, and one with JSON.
_EXPRESS = re.compile(r"[sj](:|%3[Aa])")


def is_credential_name(name: str) -> bool:
    """Whether a cookie of this name is a session's or a secret's, whatever it holds."""
    lower = name.lower()
    for prefix in _PREFIXES:
        lower = lower.removeprefix(prefix)
    return lower in _FRAMEWORK_SESSIONS or lower.startswith("aspsessionid") or _SECRET_WORDS.search(lower) is not None


def is_session_name(name: str) -> bool:
    """Whether a name is a session's: one of a framework, or one with a word for it that speaks of no balancer."""
    lower = name.lower()
    if lower in _FRAMEWORK_SESSIONS or lower.startswith("aspsessionid"):
        return True
    return _SESSION_WORDS.search(lower) is not None and not _BALANCER_WORDS.search(lower)


def looks_like_node_label(value: str) -> bool:
    """Whether a value is as plain as what a farm calls its nodes: ``n2``, ``web-01``, ``.node3``."""
    return _LABEL.fullmatch(value) is not None


def looks_like_credential(name: str, value: str) -> bool:
    """Whether a cookie may be a session's credential.

    :param value: the raw value; a name that only hints at a session is forgiven where the value is as plain as a
        node's name, or where the name speaks of a balancer too.
    """
    if is_credential_name(name) or _SECRET_VALUE.fullmatch(value):
        return True
    return is_session_name(name) and not looks_like_node_label(value)


def looks_like_node_text(value: str) -> bool:
    """Whether a text reads as the name or the address of a node: words and short numbers, a host's name, ``ip:port``, a
    URL, a pod, an instance. No secret has this form."""
    return _NODE_TEXT.fullmatch(value) is not None and not _EXPRESS.match(value)


def looks_like_id(value: str) -> bool:
    """Whether a value may be a session's id: with as many bits as one, and not as plain as a node's name or address."""
    bare = value.strip('"')
    is_long = len(bare) >= ID_LENGTH or _DENSE.fullmatch(bare) is not None
    return is_long and not looks_like_node_text(bare)


def may_be_session(name: str, value: str) -> bool:
    """Whether a cookie of unknown origin may be a session's credential, by its name or its value."""
    return looks_like_credential(name, value) or looks_like_id(value)
