"""HTTP requests to one crawler, over the standard library."""

from __future__ import annotations

import json
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

from lbcompanion import __version__
from lbcompanion.errors import CompanionError

_MAX_JSON_BYTES = 64 << 20
_MAX_ERROR_BYTES = 65536
_OK = 200


class ClientError(CompanionError):
    """The crawler's API could not be used."""


class NotReachable(ClientError):
    """No complete answer came: the crawler does not run, the address is wrong, or the connection was cut."""


class ApiError(ClientError):
    """The crawler answered with an error.

    :ivar status: of the answer, such as 404.
    :ivar retry_after: when to try again, in seconds; None if the answer does not say so.
    """

    def __init__(self, status: int, detail: str, retry_after: float | None = None) -> None:
        self.status = status
        self.retry_after = retry_after
        super().__init__(f"{status}: {detail}")


class Connection:
    """Sends requests to one crawler, each over a connection of its own. Redirects are not followed.

    :param url: the origin of the admin listener, such as ``http://127.0.0.1:9201``.
    :param token: the access token, or empty.
    :param timeout: how long to wait for the connection and for each part of an answer, in seconds.
    :param ca_file: the only certificate authorities to trust, in PEM; None: those of the system.
    :raises ValueError: if the URL is no origin of ``http`` or ``https``.
    """

    def __init__(self, url: str, token: str = "", timeout: float = 30.0, ca_file: Path | None = None) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
            raise ValueError("the crawler's address has to be an origin, such as http://127.0.0.1:9201")
        self._host, self._port = parts.hostname, parts.port
        self._tls = ssl.create_default_context(cafile=ca_file) if parts.scheme == "https" else None
        self._token = token
        self._timeout = timeout

    @contextmanager
    def open(
        self,
        path: str,
        query: Mapping[str, str] | None = None,
        *,
        method: str = "GET",
        body: object = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> Iterator[HTTPResponse]:
        """Send a request, and return its answer, whose body is to be read.

        :param body: is sent as JSON; None: no body.
        :raises ApiError: if the status is not 200.
        :raises NotReachable: if no answer came.
        """
        sent = {"User-Agent": f"lbcompanion-client/{__version__}", **(headers or {})}
        if self._token:
            sent["Authorization"] = f"Bearer {self._token}"
        data = None
        if body is not None:
            sent["Content-Type"], data = "application/json", json.dumps(body).encode()
        seconds = self._timeout if timeout is None else timeout
        if self._tls is not None:
            made: HTTPConnection = HTTPSConnection(self._host, self._port, timeout=seconds, context=self._tls)
        else:
            made = HTTPConnection(self._host, self._port, timeout=seconds)
        try:
            made.request(method, f"{path}?{urlencode(query)}" if query else path, data, sent)
            response = made.getresponse()
            if response.status != _OK:
                raise _error(response)
            yield response
        except (OSError, HTTPException) as failure:
            raise NotReachable(f"no answer of the crawler: {type(failure).__name__}: {failure}") from failure
        finally:
            made.close()

    def json(
        self, path: str, query: Mapping[str, str] | None = None, *, method: str = "GET", body: object = None
    ) -> Any:
        """Send a request, and return the JSON of its answer.

        :raises ApiError: if the status is not 200.
        :raises NotReachable: if no complete answer came.
        """
        with self.open(path, query, method=method, body=body) as response:
            data = response.read(_MAX_JSON_BYTES + 1)
        if len(data) > _MAX_JSON_BYTES:
            raise ClientError(f"the answer is longer than {_MAX_JSON_BYTES} bytes")
        check_whole(response)
        try:
            return json.loads(data)
        except ValueError:
            raise ClientError("the answer is not JSON; is this the crawler's admin listener?") from None


def check_whole(response: HTTPResponse) -> None:
    """Check that the whole body was read; ``HTTPResponse`` does not where it reads a number of bytes.

    :raises NotReachable: if the connection was cut before its end.
    """
    if response.length:
        raise NotReachable(f"the answer was cut: {response.length} bytes are missing")


def _error(response: HTTPResponse) -> ApiError:
    """Read the answer of a request that failed."""
    try:
        detail = str(json.loads(response.read(_MAX_ERROR_BYTES))["detail"])
    except (ValueError, TypeError, KeyError):
        detail = response.reason
    given = response.getheader("Retry-After", "")
    return ApiError(response.status, detail, float(given) if given.isascii() and given.isdigit() else None)
