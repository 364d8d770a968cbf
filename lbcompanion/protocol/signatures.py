"""Authentication of fetches and deliveries: HTTP Message Signatures (RFC 9421) with this farm's profile.

The library computes the signature base and the cryptography. This module defines the profile: label, components,
parameters and maximum age. The caller passes the time; the library's clock is not used.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import http_sf
from attrs import field, frozen
from http_message_signatures import (
    HTTPMessageSigner,
    HTTPMessageVerifier,
    MappingKeyResolver,
    VerificationKey,
    algorithms,
)

from lbcompanion.errors import SignatureRefused
from lbcompanion.protocol import headers
from lbcompanion.protocol.keys import read_public_key
from lbcompanion.protocol.secrets import accepted_secrets

LABEL = "lbc"
#: The key id of the farm's shared secret.
FARM_KEY_ID = "farm"
#: How much ``created`` may differ from now, in seconds.
MAX_SKEW_SECONDS = 300

_COVERED = ("@method", "@authority", "@path", headers.NONCE.lower)
_DIGEST = "content-digest"
_REQUIRED_PARAMETERS = ("created", "keyid", "alg")

# RFC 3986 section 3.2 without user information. Any other character could shift the boundary between authority and
# path.
_AUTHORITY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]{1,300}", re.ASCII)
# RFC 9112 section 3.2.1: origin form, no fragment.
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*", re.ASCII)


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
    """

    method: str
    authority: str
    path: str
    fields: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Signer:
    """Signs requests with the farm's secret.

    :param secret: the farm's secret, without surrounding white space.
    """

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise ValueError("an empty secret signs nothing")
        keys = MappingKeyResolver(public_keys={}, private_keys={FARM_KEY_ID: secret})
        self._signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)

    def sign(self, method: str, url: str, nonce: str, now: float, body: bytes | None = None) -> list[tuple[str, str]]:
        """Return the header fields that sign a request.

        :param method: the method, in upper case.
        :param url: the absolute URL. Its authority must be the value of ``Host`` (without a default port); its path
            must be sent unchanged.
        :param nonce: a fresh value for each request, of the syntax :data:`~lbcompanion.protocol.shapes.NONCE`.
        :param now: seconds since the epoch.
        :param body: the request body; None if there is none.
        :returns: ``Lbc-Nonce``, ``Content-Digest`` (with a body), ``Signature-Input``, ``Signature``.
        :raises SignatureRefused: if the request cannot be signed, for example because the URL is malformed.
        """
        message = _Message(method, url, {headers.NONCE.text: nonce})
        try:
            self._signer.sign(
                message,
                key_id=FARM_KEY_ID,
                created=datetime.fromtimestamp(int(now), UTC),
                label=LABEL,
                covered_component_ids=_COVERED,
                body=body,
            )
        except Exception as error:
            raise SignatureRefused(f"this request cannot be signed: {error}") from error
        return list(message.headers.items())


class _ClocklessVerifier(HTTPMessageVerifier):
    """The library's verifier without its check of times, which needs the system's clock."""

    def validate_created_and_expires(self, sig_input: object, max_age: timedelta | None = None) -> None:
        """Check nothing: :class:`Verifier` has checked the times."""


class Verifier:
    """Verifies the signatures of fetches and deliveries.

    :param secret: the farm's secret; signatures by all secrets that it accepts are valid.
    :param public_keys: key id to an Ed25519 public key in PEM.
    :raises ValueError: if the secret is empty, a key is not an Ed25519 key, or a key has the id ``farm``.
    """

    def __init__(self, secret: bytes, public_keys: Mapping[str, bytes] = {}) -> None:
        if not secret:
            raise ValueError("an empty secret proves nothing")
        if FARM_KEY_ID in public_keys:
            raise ValueError(f"the key id {FARM_KEY_ID!r} is the shared secret's")
        foreign: dict[str, VerificationKey] = {name: read_public_key(pem) for name, pem in public_keys.items()}
        self._algorithms = {FARM_KEY_ID: "hmac-sha256"} | dict.fromkeys(foreign, "ed25519")
        self._verifiers = {
            "hmac-sha256": [
                _verifier(algorithms.HMAC_SHA256, {FARM_KEY_ID: accepted}) for accepted in accepted_secrets(secret)
            ],
            "ed25519": [_verifier(algorithms.ED25519, foreign)],
        }

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
        components, parameters = _components_and_parameters(lines)
        key_id = self._check_parameters(parameters, now)
        _check_coverage(components, lines, body != b"")
        signed = _Fields(
            [pair for pair in lines.items() if pair[0] not in {"signature-input", "signature"}]
            + [(name, http_sf.ser({LABEL: _label_member(lines, name)})) for name in ("signature-input", "signature")]
        )
        verifiers = self._verifiers[self._algorithms[key_id]]
        self._check_signature(verifiers, request.method, request.authority + request.path, signed, body)
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
        if type(key_id) is not str or key_id not in self._algorithms:
            raise SignatureRefused("the key id is not known here")
        if type(parameters["alg"]) is not str or parameters["alg"] != self._algorithms[key_id]:
            raise SignatureRefused(f"alg has to be {self._algorithms[key_id]} with this key")
        return key_id

    def _check_signature(
        self,
        verifiers: Sequence[HTTPMessageVerifier],
        method: str,
        authority_and_path: str,
        fields: _Fields,
        body: bytes | None,
    ) -> None:
        """Verify the signature itself, with either scheme. Behind a balancer the client's scheme is unknown, and so is
        the default port, which RFC 9421 section 2.2.3 omits from the authority."""
        last_error: Exception | None = None
        is_digest_wrong = False
        for verifier, scheme in product(verifiers, ("https", "http")):
            message = _Message(method, f"{scheme}://{authority_and_path}", fields)
            try:
                verifier.verify(message, max_age=None, body=body)
            except Exception as error:
                last_error = error
                is_digest_wrong |= "igest" in str(error) and "match the message body" in str(error)
            else:
                return
        if is_digest_wrong:
            raise SignatureRefused("content-digest is not that of the body") from last_error
        raise SignatureRefused("the signature is not that of this request and key") from last_error


def _verifier(algorithm: Any, keys: Mapping[str, VerificationKey]) -> HTTPMessageVerifier:
    resolver = MappingKeyResolver(public_keys=keys, private_keys={})
    return _ClocklessVerifier(signature_algorithm=algorithm, key_resolver=resolver)


def _reject_duplicate_label(key: str, context: str) -> None:
    if context == "dictionary" and key == LABEL:
        raise SignatureRefused(f"the label {LABEL} occurs twice")


def _label_member(lines: _Fields, name: str) -> Any:
    """Return the member with our label of a dictionary field (RFC 8941 section 3.2); ignore other labels."""
    values = lines.lines(name)
    if not values:
        raise SignatureRefused(f"the field {name} is missing")
    try:
        members = http_sf.parse(
            ", ".join(values).encode("ascii"), tltype="dictionary", on_duplicate_key=_reject_duplicate_label
        )
    except (ValueError, TypeError) as error:
        raise SignatureRefused(f"the field {name} is malformed") from error
    if not isinstance(members, dict) or LABEL not in members:
        raise SignatureRefused(f"the field {name} has no label {LABEL}")
    return members[LABEL]


def _components_and_parameters(lines: _Fields) -> tuple[list[Any], Mapping[str, Any]]:
    """Return the covered components and the parameters of the signature."""
    components, parameters = _label_member(lines, "signature-input")
    if not isinstance(components, list):
        raise SignatureRefused("signature-input has to be a list of components")
    if not isinstance(_label_member(lines, "signature")[0], bytes):
        raise SignatureRefused("signature has to be a byte sequence")
    return components, parameters


def _check_coverage(components: list[Any], lines: _Fields, has_body: bool) -> None:
    """Check that the signature covers all required components; it may cover more."""
    # A component with parameters (;bs, ;req, ;key) is a different component: RFC 9421 section 2.
    plain = {name for name, parameters in components if isinstance(name, str) and not parameters}
    for name in (*_COVERED, _DIGEST) if has_body else _COVERED:
        if name not in plain:
            raise SignatureRefused(f"the component {name} is not covered")
    nonces = lines.lines(headers.NONCE.lower)
    if len(nonces) != 1 or not nonces[0].strip():
        raise SignatureRefused(f"{headers.NONCE.lower} has to occur once")
