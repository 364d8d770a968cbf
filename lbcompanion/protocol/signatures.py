"""Authentication of fetches and deliveries: HTTP Message Signatures (RFC 9421) with this farm's profile.

The library resolves the components and computes the cryptography. This module defines the profile: label, components,
parameters and maximum age. It signs plain requests, such as those for copies, by itself: the library takes about forty
times as long for the same bytes. It verifies one signature base per authority, because a balancer may have
replaced ``Host``. The caller passes the time; the library's clock is not used.
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

import http_sf
from attrs import field, frozen
from http_message_signatures import (
    ContentDigest,
    HTTPMessageSigner,
    HTTPSignatureComponentResolver,
    MappingKeyResolver,
    VerificationKey,
    algorithms,
)
from http_sf.compat import Item

from lbcompanion.errors import SignatureRefused
from lbcompanion.protocol import headers, shapes
from lbcompanion.protocol.keys import read_public_key
from lbcompanion.protocol.secrets import accepted_secrets

LABEL = "lbc"
#: The key id of the farm's shared secret.
FARM_KEY_ID = "farm"
#: The key id of the secret that a webhook and its receiver share.
WEBHOOK_KEY_ID = "webhook"
#: How much ``created`` may differ from now, in seconds.
MAX_SKEW_SECONDS = 300

_COVERED = ("@method", "@authority", "@path", headers.NONCE.lower)
_QUERY = "@query"
_DIGEST = "content-digest"
# RFC 9421 section 2.3. Others would be signed too, but nobody checks them.
_KNOWN_PARAMETERS = frozenset({"created", "expires", "nonce", "alg", "keyid", "tag"})
# Anybody can send these fields: they are measured before they are parsed.
_MAX_INPUT_CHARS = 2048
_MAX_SIGNATURE_CHARS = 4096
_MAX_COMPONENTS = 20
# What separates the members, components and parameters of all labels.
_SEPARATORS = re.compile(r"[,; ]+")
_MAX_SEPARATORS = 100
# Authorities that are tried for one signature.
_MAX_AUTHORITIES = 8
_REQUIRED_PARAMETERS = ("created", "keyid", "alg")

# RFC 3986 section 3.2 without user information. Any other character could shift the boundary between authority and
# path.
_AUTHORITY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]{1,300}", re.ASCII)
# RFC 9112 section 3.2.1: origin form, no fragment.
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*", re.ASCII)


#: URLs whose components are parts of the text: no escapes, no query, no default port, no dots in the path.
_PLAIN_URL = re.compile(r"(https?)://([a-z0-9][a-z0-9.-]*(?::([1-9][0-9]{0,4}))?)(/[A-Za-z0-9_/-]*)", re.ASCII)
_PLAIN_METHOD = re.compile(r"[A-Z]+", re.ASCII)
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class _Fields:
    """Header fields for the library: in order, repeated fields separate."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = list(pairs)

    def items(self) -> list[tuple[str, str]]:
        return self._pairs

    def lines(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]


@frozen
class _Message:
    method: str
    url: str
    headers: Any


@frozen
class SignedRequest:
    """A received request; its fields contain the signature.

    :ivar method: the method, in upper case.
    :ivar authority: the value of ``Host``.
    :ivar path: the request target as received, with its query.
    :ivar fields: the header fields, names in lower case.
    :ivar body: the whole body; empty if there is none.
    :ivar authorities: other authorities that the client may have signed, because a balancer replaced ``Host``.
    :ivar accepts_any_authority: whether the farm's key may sign any authority: the one in ``Lbc-Authority``.
    """

    method: str
    authority: str
    path: str
    fields: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)
    authorities: Sequence[str] = ()
    accepts_any_authority: bool = False


class Signer:
    """Signs requests with the farm's secret, or with that of a webhook.

    :param secret: without surrounding white space.
    :param key_id: the secret's name in the signature.
    """

    def __init__(self, secret: bytes, key_id: str = FARM_KEY_ID) -> None:
        if not secret:
            raise ValueError("an empty secret signs nothing")
        self._secret = secret
        self._key_id = key_id
        keys = MappingKeyResolver(public_keys={}, private_keys={key_id: secret})
        self._signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)

    def sign(self, method: str, url: str, nonce: str, now: float, body: bytes | None = None) -> list[tuple[str, str]]:
        """Return the header fields that sign a request.

        :param method: the method, in upper case.
        :param url: the absolute URL. Its authority must be the value of ``Host`` (without a default port); its path
            and its query must be sent unchanged.
        :param nonce: a fresh value for each request, of the syntax :data:`~lbcompanion.protocol.shapes.NONCE`.
        :param now: seconds since the epoch.
        :param body: the request body; None if there is none.
        :returns: ``Lbc-Nonce``, ``Content-Digest`` (with a body), ``Signature-Input``, ``Signature``.
        :raises SignatureRefused: if the request cannot be signed, for example because the URL is malformed.
        """
        plain = _PLAIN_URL.fullmatch(url)
        if plain is not None and _PLAIN_METHOD.fullmatch(method) and shapes.NONCE.fullmatch(nonce):
            scheme, authority, port, path = plain.groups()
            if port != _DEFAULT_PORTS[scheme] and int(port or 1) < 65536:
                return self._sign_plain(method, authority, path, nonce, int(now), body)
        return self._sign_by_library(method, url, nonce, now, body)

    def _sign_plain(
        self, method: str, authority: str, path: str, nonce: str, created: int, body: bytes | None
    ) -> list[tuple[str, str]]:
        """Sign a request whose components need no normalization, with the bytes that the library would write."""
        digest, lines, names = [], "", f'"@method" "@authority" "@path" "{headers.NONCE.lower}"'
        if body is not None:
            value = f"sha-256=:{b64encode(sha256(body).digest()).decode()}:"
            digest, lines, names = [("Content-Digest", value)], f'"content-digest": {value}\n', f'{names} "{_DIGEST}"'
        parameters = f'({names});created={created};keyid="{self._key_id}";alg="hmac-sha256"'
        base = (
            f'"@method": {method}\n"@authority": {authority}\n"@path": {path}\n"{headers.NONCE.lower}": {nonce}\n'
            f"{lines}"
            f'"@signature-params": {parameters}'
        )
        signature = b64encode(hmac.digest(self._secret, base.encode("ascii"), "sha256")).decode()
        return [
            (headers.NONCE.text, nonce),
            *digest,
            ("Signature-Input", f"{LABEL}={parameters}"),
            ("Signature", f"{LABEL}=:{signature}:"),
        ]

    def _sign_by_library(
        self, method: str, url: str, nonce: str, now: float, body: bytes | None
    ) -> list[tuple[str, str]]:
        message = _Message(method, url, {headers.NONCE.text: nonce})
        try:
            self._signer.sign(
                message,
                key_id=self._key_id,
                created=datetime.fromtimestamp(int(now), UTC),
                label=LABEL,
                covered_component_ids=(*_COVERED, _QUERY) if "?" in url else _COVERED,
                body=body,
            )
        except Exception as error:
            raise SignatureRefused(f"this request cannot be signed: {error}") from error
        return list(message.headers.items())


@frozen
class _ReceivedSignature:
    """The signature with our label, parsed.

    :ivar components: the covered components, as items of Structured Fields (RFC 9651).
    :ivar parameters_text: the value of ``@signature-params``.
    """

    components: list[Item]
    parameters: Mapping[str, Any]
    parameters_text: str
    signature: bytes = field(repr=False)

    @property
    def plain(self) -> set[str]:
        """The names of the covered components without parameters.

        A component with parameters (;bs, ;req, ;key) is a different component: RFC 9421 section 2."""
        return {str(item.value) for item in self.components if not item.params}


class Verifier:
    """Verifies the signatures of fetches and deliveries.

    :param secret: the farm's secret; signatures by all secrets that it accepts are valid.
    :param public_keys: key id to an Ed25519 public key in PEM.
    :param key_id: the name of the secret in signatures.
    :raises ValueError: if the secret is empty, a key is not an Ed25519 key, or a key has the secret's id.
    """

    def __init__(self, secret: bytes, public_keys: Mapping[str, bytes] = {}, key_id: str = FARM_KEY_ID) -> None:
        if not secret:
            raise ValueError("an empty secret proves nothing")
        if key_id in public_keys:
            raise ValueError(f"the key id {key_id!r} is the shared secret's")
        foreign: dict[str, VerificationKey] = {name: read_public_key(pem) for name, pem in public_keys.items()}
        self._keys: dict[str, list[Any]] = {
            key_id: [_algorithm(algorithms.HMAC_SHA256, accepted) for accepted in accepted_secrets(secret)]
        } | {name: [_algorithm(algorithms.ED25519, key)] for name, key in foreign.items()}

    def verify(self, request: SignedRequest, now: float) -> str:
        """Verify a request's signature.

        :param now: seconds since the epoch.
        :returns: the key id of the signer.
        :raises SignatureRefused: if the signature violates a rule; no request causes another exception.
        """
        return self._verify_safely(request, request.body, now)

    def verify_head(self, request: SignedRequest, now: float) -> str:
        """Verify a request's signature before its body has arrived. This does not check ``Content-Digest`` against the
        body, and ignores ``request.body``.

        :returns: the key id of the signer.
        :raises SignatureRefused: as :meth:`verify`.
        """
        return self._verify_safely(request, None, now)

    def _verify_safely(self, request: SignedRequest, body: bytes | None, now: float) -> str:
        try:
            return self._verify(request, body, now)
        except SignatureRefused:
            raise
        except Exception as error:
            # The library parses hostile text here: any of its exceptions means that the signature is refused.
            raise SignatureRefused(f"the signature cannot be read: {type(error).__name__}") from error

    def _verify(self, request: SignedRequest, body: bytes | None, now: float) -> str:
        """:param body: the body; None if it has not arrived yet."""
        if not _AUTHORITY.fullmatch(request.authority) or not _TARGET.fullmatch(request.path):
            raise SignatureRefused("the request's host or target cannot be part of a signature")
        lines = _Fields((name.decode("latin-1"), value.decode("latin-1")) for name, value in request.fields)
        received = _received_signature(lines)
        key_id = self._check_parameters(received.parameters, now)
        _check_coverage(received, lines, has_query="?" in request.path, has_body=body != b"")
        self._check_signature(received, self._keys[key_id], request, lines, key_id)
        if body is not None and (body or _DIGEST in received.plain):
            _check_digest(lines, body)
        return key_id

    def _check_parameters(self, parameters: Mapping[str, Any], now: float) -> str:
        """Check age, key and algorithm; return the key id."""
        for name in _REQUIRED_PARAMETERS:
            if name not in parameters:
                raise SignatureRefused(f"the parameter {name} is missing")
        created, expires = parameters["created"], parameters.get("expires")
        if type(created) is not int or abs(created - now) > MAX_SKEW_SECONDS:
            raise SignatureRefused(f"created is more than {MAX_SKEW_SECONDS} s from now")
        if expires is not None and (type(expires) is not int or expires < now):
            raise SignatureRefused("the signature has expired")
        key_id = parameters["keyid"]
        if type(key_id) is not str or key_id not in self._keys:
            raise SignatureRefused("the key id is not known here")
        algorithm = self._keys[key_id][0].algorithm_id
        if type(parameters["alg"]) is not str or parameters["alg"] != algorithm:
            raise SignatureRefused(f"alg has to be {algorithm} with this key")
        return key_id

    def _check_signature(
        self, received: _ReceivedSignature, keys: Sequence[Any], request: SignedRequest, lines: _Fields, key_id: str
    ) -> None:
        """Verify the signature itself with each authority that the client may have signed.

        ``Lbc-Authority`` says which one it was. The signature covers that value as ``@authority``, so it cannot be
        changed on the way; but it is the signer's word only, and the request may have been meant for another site with
        the same secret.
        """
        known = [request.authority, *request.authorities][:_MAX_AUTHORITIES]
        if _verifies(received, keys, request, lines, known):
            return
        signed_authority = "".join(lines.lines(headers.AUTHORITY.lower)[:1])
        if not _verifies(received, keys, request, lines, [signed_authority]):
            raise SignatureRefused(
                "the signature is not that of this request and key: another farm secret, or a balancer replaced Host"
                f" (received: {', '.join(known)})"
            )
        if not request.accepts_any_authority or key_id != FARM_KEY_ID:
            raise SignatureRefused(
                f"the signature is for the host {signed_authority}, but the request is for {', '.join(known)}: the"
                " balancer has to pass Host on unchanged, or public_origin has to be the origin in the crawler's file"
            )


def _algorithm(kind: Any, key: VerificationKey) -> Any:
    return kind(public_key=key)


def _verifies(
    received: _ReceivedSignature,
    keys: Sequence[Any],
    request: SignedRequest,
    lines: _Fields,
    authorities: Iterable[str],
) -> bool:
    """Whether the signature is that of the request with one of these authorities."""
    tried: set[str] = set()
    for url in _urls(authorities, request.path):
        base = _signature_base(received, _Message(request.method, url, lines))
        if base in tried:
            continue
        tried.add(base)
        for key in keys:
            with suppress(Exception):  # the library raises several kinds
                key.verify(signature=received.signature, message=base.encode("ascii"))
                return True
    return False


def _urls(authorities: Iterable[str], target: str) -> Iterator[str]:
    """The URLs that the client may have signed.

    Behind a balancer the client's scheme is unknown, and so is the default port, which RFC 9421 section 2.2.3 omits
    from the authority.
    """
    for authority in dict.fromkeys(text.lower() for text in authorities):
        if _AUTHORITY.fullmatch(authority):
            yield f"https://{authority}{target}"
            yield f"http://{authority}{target}"


def _signature_base(received: _ReceivedSignature, message: _Message) -> str:
    """The signature base (RFC 9421 section 2.5)."""
    resolver: Any = HTTPSignatureComponentResolver(message)  # type: ignore[no-untyped-call]
    parts = []
    for item in received.components:
        value = resolver.resolve(item)
        if not isinstance(value, str) or not value.replace("\t", " ").isprintable():
            raise SignatureRefused("a covered component cannot be part of a signature")
        parts.append(f"{item}: {value}")
    parts.append(f'"@signature-params": {received.parameters_text}')
    return "\n".join(parts)


def _reject_duplicate_label(key: str, context: str) -> None:
    if context == "dictionary" and key == LABEL:
        raise SignatureRefused(f"the label {LABEL} occurs twice")


def _label_member(lines: _Fields, name: str, max_chars: int) -> Any:
    """Return the member with our label of a dictionary field (RFC 9651 section 3.2); ignore other labels."""
    values = lines.lines(name)
    if not values:
        raise SignatureRefused(f"the field {name} is missing")
    text = ", ".join(values)
    if len(text) > max_chars or len(_SEPARATORS.findall(text)) > _MAX_SEPARATORS:
        raise SignatureRefused(f"the field {name} is longer than {max_chars} characters, or has too many members")
    try:
        members = http_sf.parse(text.encode("ascii"), tltype="dictionary", on_duplicate_key=_reject_duplicate_label)
    except (ValueError, TypeError) as error:
        raise SignatureRefused(f"the field {name} is malformed") from error
    if not isinstance(members, dict) or LABEL not in members:
        raise SignatureRefused(f"the field {name} has no label {LABEL}")
    return members[LABEL]


def _received_signature(lines: _Fields) -> _ReceivedSignature:
    """Parse the signature with our label."""
    member = _label_member(lines, "signature-input", _MAX_INPUT_CHARS)
    components, parameters = member
    if not isinstance(components, list) or len(components) > _MAX_COMPONENTS:
        raise SignatureRefused(f"signature-input has to be a list of at most {_MAX_COMPONENTS} components")
    items = [_component(*entry) for entry in components]
    if len({(item.value, frozenset(item.params.items())) for item in items}) < len(items):
        raise SignatureRefused("signature-input names a component twice")
    if not _KNOWN_PARAMETERS.issuperset(parameters):
        raise SignatureRefused("signature-input has an unknown parameter")
    signature = _label_member(lines, "signature", _MAX_SIGNATURE_CHARS)[0]
    if not isinstance(signature, bytes):
        raise SignatureRefused("signature has to be a byte sequence")
    # The field has the form LABEL=VALUE.
    text = http_sf.ser({LABEL: member})[len(LABEL) + 1 :]
    return _ReceivedSignature(items, parameters, text, signature)


def _component(name: object, parameters: Mapping[str, Any]) -> Item:
    if type(name) is not str or name != name.lower():
        raise SignatureRefused("a component has to be a text in lower case")
    item = Item(name)
    item.params.update(parameters)
    return item


def _check_coverage(received: _ReceivedSignature, lines: _Fields, *, has_query: bool, has_body: bool) -> None:
    """Check that the signature covers all required components; it may cover more."""
    required = [*_COVERED, *([_QUERY] if has_query else []), *([_DIGEST] if has_body else [])]
    for name in required:
        if name not in received.plain:
            raise SignatureRefused(f"the component {name} is not covered")
    nonces = lines.lines(headers.NONCE.lower)
    if len(nonces) != 1 or not nonces[0].strip():
        raise SignatureRefused(f"{headers.NONCE.lower} has to occur once")


def _check_digest(lines: _Fields, body: bytes) -> None:
    try:
        ContentDigest.verify(", ".join(lines.lines(_DIGEST)), body)
    except Exception as error:
        raise SignatureRefused("content-digest is not that of the body") from error
