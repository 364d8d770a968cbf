"""The debug page: what was decided about a caller and a page, and why; settings without secrets."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
from twisted.internet.defer import Deferred

from lbcompanion.errors import StoreError, TokenError
from lbcompanion.http1.heads import RequestHead
from lbcompanion.model import Page, to_rfc3339
from lbcompanion.node.callers import CallerVerdict
from lbcompanion.node.hub import LocalRequest
from lbcompanion.node.policy import Policy
from lbcompanion.settings import NodeSettings
from lbcompanion.stores.interface import IPageStore
from lbcompanion.tokens import Tokens, hide

_SECRET = frozenset({"secret", "public_keys", "url"})


def settings_without_secrets(settings: NodeSettings) -> dict[str, Any]:
    """All effective settings, secrets and addresses that may hold a password left out."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: "(hidden)" if key in _SECRET else plain(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        if isinstance(value, bytes):
            return f"({len(value)} bytes)"
        return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)

    shown = plain(attrs.asdict(settings))
    assert isinstance(shown, dict)
    return shown


class Debug:
    """Answers ``GET debug``: ``?url=/path`` (with ``&cookie=...``, ``&method=...``) for what would be decided about a
    request, ``?token=...`` for what is known of a copy."""

    def __init__(self, settings: NodeSettings, policy: Policy, tokens: Tokens, store: IPageStore) -> None:
        self._settings = settings
        self._policy = policy
        self._tokens = tokens
        self._store = store

    def tell(self, request: LocalRequest, verdict: CallerVerdict) -> Deferred[dict[str, Any]]:
        """What an allowed caller is shown."""
        return Deferred.fromCoroutine(self._tell(request, verdict))

    async def _tell(self, request: LocalRequest, verdict: CallerVerdict) -> dict[str, Any]:
        query = parse_qs(request.head.target.partition(b"?")[2].decode("latin-1"))
        said: dict[str, Any] = {
            "node": self._settings.node.name,
            "caller": {"allowed": verdict.allowed, "address": verdict.address, "key": verdict.key},
            "settings": settings_without_secrets(self._settings),
        }
        if "url" in query:
            said["decision"] = self._decision(query)
        if "token" in query:
            said["copy"] = await self._copy(query["token"][0])
        return said

    def _decision(self, query: dict[str, list[str]]) -> dict[str, Any]:
        parts = urlsplit(query["url"][0])
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        fields = [(b"host", (parts.netloc or "localhost").encode("latin-1", "replace"))]
        if "cookie" in query:
            fields.append((b"cookie", query["cookie"][0].encode("latin-1", "replace")))
        method = query.get("method", ["GET"])[0].encode("ascii", "replace")
        head = RequestHead(method, target.encode("latin-1", "replace"), 11, fields, [name for name, _ in fields])
        why = self._policy.refusal(head)
        return {"captured": not why, "reason": why or "its answer decides (status, type, size)"}

    async def _copy(self, token: str) -> dict[str, Any]:
        try:
            owner = self._tokens.owner_of(token)
        except TokenError as error:
            return {"known": False, "why": str(error)}
        try:
            found = await self._store.peek(token)
        except StoreError as error:
            return {"known": False, "token": hide(token), "owner": owner, "why": str(error)}
        if not isinstance(found, Page):
            return {
                "known": False,
                "token": hide(token),
                "owner": owner,
                "why": found.reason.value,
                "detail": found.detail,
            }
        return {
            "known": True,
            "token": hide(token),
            "owner": owner,
            "url": found.url,
            "method": found.method,
            "status": found.status,
            "content_type": found.content_type,
            "captured_at": to_rfc3339(found.captured_at),
            "bytes": len(found.body),
        }
