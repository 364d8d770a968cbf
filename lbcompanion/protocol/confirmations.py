"""Confirmations of several copies in one request: ``POST .../done`` with the tokens, answered by a status for each."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence

from lbcompanion.errors import ConfirmationError
from lbcompanion.protocol import shapes

#: The most tokens of one request; with these its body is shorter than the body of a browser's notice may be.
MAX_TOKENS = 200


def write_confirmation(tokens: Sequence[str]) -> bytes:
    """Write the body of a request.

    :raises ValueError: if these are more than :data:`MAX_TOKENS`.
    """
    if len(tokens) > MAX_TOKENS:
        raise ValueError(f"at most {MAX_TOKENS} tokens can be confirmed at once")
    return json.dumps({"tokens": list(tokens)}, separators=(",", ":")).encode()


def read_confirmation(body: bytes) -> tuple[str, ...]:
    """Return the tokens of a request, each once.

    :raises ConfirmationError: if the body is not JSON, or has other tokens than it may have.
    """
    tokens = _object(body).get("tokens")
    if not isinstance(tokens, list) or not 0 < len(tokens) <= MAX_TOKENS:
        raise ConfirmationError(f"tokens: has to be a list of 1 to {MAX_TOKENS} tokens")
    if not all(isinstance(token, str) and shapes.TOKEN.fullmatch(token) for token in tokens):
        raise ConfirmationError("tokens: has to be a list of tokens: each 1 to 63 of A-Z a-z 0-9 _ -")
    return tuple(dict.fromkeys(tokens))


def write_results(statuses: Mapping[str, int]) -> bytes:
    """Write the body of an answer: for each token the status that it would get alone."""
    return json.dumps({"results": dict(statuses)}, separators=(",", ":")).encode()


def read_results(body: bytes, tokens: Collection[str]) -> dict[str, int]:
    """Return the statuses in an answer; those of other tokens than the given ones are left out.

    :raises ConfirmationError: if the body is not an answer.
    """
    results = _object(body).get("results")
    if not isinstance(results, dict):
        raise ConfirmationError("results: has to be an object of statuses by token")
    return {token: status for token, status in results.items() if token in tokens and type(status) is int}


def _object(body: bytes) -> dict[str, object]:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        raise ConfirmationError("the body has to be JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise ConfirmationError("the body has to be a JSON object")
    return found
