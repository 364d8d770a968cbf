"""``lbcompanion erase``: by the API of the crawler if it runs, else with the crawler's own locks."""

from __future__ import annotations

import http.client
import json
import socket
from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from lbcompanion.crawler.access.command_token import read_command_token
from lbcompanion.crawler.erasure.criteria import dump_matches, dump_result, read_selection
from lbcompanion.crawler.queue.database import queue_file
from lbcompanion.crawler.service import CrawlerAlreadyRuns, CrawlerService
from lbcompanion.endpoints import strings
from lbcompanion.errors import CompanionError
from lbcompanion.protocol.secrets import FarmSecret, accepted_secrets
from lbcompanion.settings import CrawlerSettings

#: How long the crawler may take to rewrite files, in seconds.
API_SECONDS = 3600.0
_WILDCARDS = frozenset({"", "0.0.0.0", "::", "::0"})


class EraseFailed(CompanionError):
    """Nothing, or not everything, could be erased; the text says why."""


def erase(
    settings: CrawlerSettings,
    given: Mapping[str, Any],
    *,
    old_secrets: tuple[bytes, ...] = (),
    dry_run: bool = False,
    access_token: str = "",
) -> dict[str, Any]:
    """Erase recordings, and return what was erased by count.

    :param given: the criteria, see :func:`.criteria.read_selection`.
    :param old_secrets: former secrets of the farm, which pseudonyms may have been made with.
    :param access_token: for a running crawler with users; empty: the one in the crawler's ``state_dir``.
    :raises CompanionError: if a criterion cannot be read, or the erasure failed.
    """
    signing, *accepted = accepted_secrets(settings.crawler.secret)
    selection = read_selection(given, FarmSecret(signing, (*accepted, *old_secrets)))
    _check_queue(settings.crawler.queue)
    service = CrawlerService(settings, None)
    try:
        eraser = service.open_for_command()
    except CrawlerAlreadyRuns as running:
        # The cookie's value does not leave this process: the crawler gets the pseudonyms.
        request = {**given, **({"visitor": list(selection.visitors)} if selection.visitors else {})}
        request |= {"by": "command", "dry_run": dry_run}
        token = access_token or read_command_token(settings.crawler.state_dir)
        return _by_api(settings.crawler.admin, request, token, str(running))
    except OSError as failure:
        raise EraseFailed(f"the crawler's folders cannot be used: {failure.strerror}") from None
    try:
        if dry_run:
            return dump_matches(_finished(Deferred.fromCoroutine(eraser.count(selection))))
        return dump_result(_finished(Deferred.fromCoroutine(eraser.erase(selection, "command"))))
    finally:
        service.close_after_command()


def _check_queue(queue: str) -> None:
    """Refuse a queue in a file that does not exist: opening it would create an empty one.

    :raises EraseFailed: if the file is missing.
    """
    file = queue_file(queue)
    if file is not None and not file.exists():
        raise EraseFailed(f"there is no queue {file}: run this command where the crawler of this configuration runs")


def _finished(done: Deferred[Any]) -> Any:
    """Return the result of a Deferred that has fired, since all its calls block."""
    found: list[Any] = []
    done.addBoth(found.append)
    if isinstance(found[0], Failure):
        found[0].raiseException()
    return found[0]


def _by_api(admin: str, request: Mapping[str, Any], token: str, running: str) -> dict[str, Any]:
    connection = _connection(strings.parse(admin))
    try:
        headers = {"Content-Type": "application/json", "Host": "localhost"}
        headers |= {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("POST", "/api/erase", json.dumps(request), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, ValueError, http.client.HTTPException) as failure:
        why = f"{type(failure).__name__}; [crawler] admin of this configuration has to be the running crawler's"
        raise EraseFailed(f"{running}, and its API cannot be reached at {admin}: {why}") from None
    finally:
        connection.close()
    if response.status in (401, 403):
        raise EraseFailed(
            f"the crawler refused: {answer.get('title', response.status)}; run it as the crawler's user where "
            "it runs, or give an operator's access token by LBC_TOKEN or --token-file"
        )
    if response.status != 200 or not isinstance(answer, dict):
        raise EraseFailed(f"the crawler refused: {answer.get('title', response.status)}")
    return answer


def _connection(endpoint: strings.EndpointString) -> http.client.HTTPConnection:
    if endpoint.kind in ("tcp", "tcp6") and endpoint.args:
        host = endpoint.options.get("interface", "")
        loopback = "::1" if endpoint.kind == "tcp6" or ":" in host else "127.0.0.1"
        return http.client.HTTPConnection(loopback if host in _WILDCARDS else host, int(endpoint.args[0]), API_SECONDS)
    if endpoint.kind == "unix" and endpoint.args:
        return _UnixConnection(endpoint.args[0])
    raise EraseFailed(
        f"the crawler runs, and this command cannot reach an admin listener of the kind {endpoint.kind}: "
        "use POST /api/erase, or stop the crawler"
    )


class _UnixConnection(http.client.HTTPConnection):
    """A connection to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=API_SECONDS)
        self._path = path

    def connect(self) -> None:
        """Connect to the socket."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(API_SECONDS)
        self.sock.connect(self._path)
