"""Who may fetch and who may post notices: HTTP Message Signatures (RFC 9421) in the one form that this farm speaks.

The signature base and the cryptography are the library's; the policy is here: which label, which components, which
parameters, how old. The clock is handed in, the library's own is never asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
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

LABEL = "lbc"
#: The key id under which the farm's shared secret signs.
FARM_KEY_ID = "farm"
#: How far ``created`` may be from now, both ways, in seconds.
MAX_SKEW_SECONDS = 300

_COVERED = ("@method", "@authority", "@path", headers.NONCE.lower)
_DIGEST = "content-digest"
_REQUIRED_PARAMETERS = ("created", "keyid", "alg")

# RFC 3986 section 3.2 without user information: what a Host line may hold. Anything else could shift the border
# between authority and path.
_AUTHORITY = re.compile(r"[A-Za-z0-9._~!$&'()*+,;=%:\[\]-]{1,300}", re.ASCII)
# RFC 9112 section 3.2.1: origin form, no fragment.
_TARGET = re.compile(r"/[\x21\x22\x24-\x7e]*", re.ASCII)


class _Fields:
    """Header lines as the library wants them: in order, repeated ones kept apart."""

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
    """A request as it came, with its signature among the fields.

    :ivar authority: the Host line's value.
    :ivar path: the request target as it came; a query may follow.
    :ivar fields: the header lines, names in lower case.
    :ivar body: the whole body, empty where there is none.
    """

    method: str
    authority: str
    path: str
    fields: Sequence[tuple[bytes, bytes]] = field(repr=False)
    body: bytes = field(default=b"", repr=False)


class Signer:
    """Signs requests with the farm's secret.

    :param secret: the farm's secret, white space around it already taken off.
    """

    def __init__(self, secret: bytes) -> None:
        if not secret:
            raise ValueError("an empty secret signs nothing")
        keys = MappingKeyResolver(public_keys={}, private_keys={FARM_KEY_ID: secret})
        self._signer = HTTPMessageSigner(signature_algorithm=algorithms.HMAC_SHA256, key_resolver=keys)

    def sign(self, method: str, url: str, nonce: str, now: float, body: bytes | None = None) -> list[tuple[str, str]]:
        """The header lines to add to a request.

        :param method: in capitals.
        :param url: the whole address; its authority is what the Host line will name (a default port is left out),
            its path is sent as it stands here.
        :param nonce: fresh for each request; letters, digits and such.
        :param now: seconds since the epoch.
        :param body: what is sent; None where nothing is.
        :returns: ``Lbc-Nonce``, ``Content-Digest`` (with a body), ``Signature-Input``, ``Signature``.
        :raises SignatureRefused: where these cannot be signed, for example an address that is none.
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
    """The library's verifier; times were judged before, by the clock that was handed in."""

    def validate_created_and_expires(self, sig_input: object, max_age: timedelta | None = None) -> None:
        """Judge nothing: :meth:`Verifier.verify` did."""


class Verifier:
    """Checks the signatures of those who fetch and those who post notices.

    :param secret: the farm's secret.
    :param public_keys: key id to the PEM of an ed25519 public key.
    :raises ValueError: for an empty secret, a key that is no ed25519 key, or one that is listed as ``farm``.
    """

    def __init__(self, secret: bytes, public_keys: Mapping[str, bytes] = {}) -> None:
        if not secret:
            raise ValueError("an empty secret proves nothing")
        if FARM_KEY_ID in public_keys:
            raise ValueError(f"the key id {FARM_KEY_ID!r} is the shared secret's")
        foreign: dict[str, VerificationKey] = {name: read_public_key(pem) for name, pem in public_keys.items()}
        self._algorithms = {FARM_KEY_ID: "hmac-sha256"} | dict.fromkeys(foreign, "ed25519")
        self._verifiers = {
            "hmac-sha256": _verifier(algorithms.HMAC_SHA256, {FARM_KEY_ID: secret}),
            "ed25519": _verifier(algorithms.ED25519, foreign),
        }

    def verify(self, request: SignedRequest, now: float) -> str:
        """Tell who signed a request.

        :param now: seconds since the epoch.
        :returns: the key id.
        :raises SignatureRefused: says which rule was broken. Nothing else is raised, whatever the peer sends.
        """
        return self._verify_safely(request, request.body, now)

    def verify_head(self, request: SignedRequest, now: float) -> str:
        """Tell who signed a request whose body is still to come: that it will have the digest that is signed is not
        known yet. What the request says of its body counts for nothing.

        :returns: the key id.
        :raises SignatureRefused: as :meth:`verify`.
        """
        return self._verify_safely(request, None, now)

    def _verify_safely(self, request: SignedRequest, body: bytes | None, now: float) -> str:
        try:
            return self._verify(request, body, now)
        except SignatureRefused:
            raise
        except Exception as error:
            # The boundary to a foreign parser that reads hostile text: whatever goes wrong there is a refusal.
            raise SignatureRefused(f"the signature cannot be read: {type(error).__name__}") from error

    def _verify(self, request: SignedRequest, body: bytes | None, now: float) -> str:
        """:param body: None where it is still to come."""
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
        verifier = self._verifiers[self._algorithms[key_id]]
        self._check_signature(verifier, request.method, request.authority + request.path, signed, body)
        return key_id

    def _check_parameters(self, parameters: Mapping[str, Any], now: float) -> str:
        """Age, key and algorithm; gives the key id."""
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
        self, verifier: HTTPMessageVerifier, method: str, authority_and_path: str, fields: _Fields, body: bytes | None
    ) -> None:
        """Recompute the signature. Behind a balancer the visitor's scheme is not known, and with it which port is
        the default that RFC 9421 section 2.2.3 leaves out: either will do."""
        last_error: Exception | None = None
        for scheme in ("https", "http"):
            message = _Message(method, f"{scheme}://{authority_and_path}", fields)
            try:
                verifier.verify(message, max_age=None, body=body)
            except Exception as error:
                last_error = error
            else:
                return
        detail = str(last_error)
        if "igest" in detail and "match the message body" in detail:
            raise SignatureRefused("content-digest is not that of the body") from last_error
        raise SignatureRefused("the signature is not that of this request and key") from last_error


def _verifier(algorithm: Any, keys: Mapping[str, VerificationKey]) -> HTTPMessageVerifier:
    resolver = MappingKeyResolver(public_keys=keys, private_keys={})
    return _ClocklessVerifier(signature_algorithm=algorithm, key_resolver=resolver)


def _reject_duplicate_label(key: str, context: str) -> None:
    if context == "dictionary" and key == LABEL:
        raise SignatureRefused(f"the label {LABEL} stands there twice")


def _label_member(lines: _Fields, name: str) -> Any:
    """Our label's member of a dictionary field (RFC 8941 section 3.2); other labels are none of our business."""
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
    """Components and parameters that the signature claims."""
    components, parameters = _label_member(lines, "signature-input")
    if not isinstance(components, list):
        raise SignatureRefused("signature-input has to be a list of components")
    if not isinstance(_label_member(lines, "signature")[0], bytes):
        raise SignatureRefused("signature has to be a byte sequence")
    return components, parameters


def _check_coverage(components: list[Any], lines: _Fields, has_body: bool) -> None:
    """Whether all is covered that has to be; more is fine."""
    # A component with parameters of its own (;bs, ;req, ;key) is another component: RFC 9421 section 2.
    plain = {name for name, parameters in components if isinstance(name, str) and not parameters}
    for name in (*_COVERED, _DIGEST) if has_body else _COVERED:
        if name not in plain:
            raise SignatureRefused(f"the component {name} is not covered")
    nonces = lines.lines(headers.NONCE.lower)
    if len(nonces) != 1 or not nonces[0].strip():
        raise SignatureRefused(f"{headers.NONCE.lower} has to stand there once")
