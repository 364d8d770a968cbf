"""The debug page: what was decided about a caller and a page, and why; settings without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
from twisted.internet.defer import Deferred

from lbcompanion.errors import StoreError, TokenError
from lbcompanion.html.charset import page_charset
from lbcompanion.html.csp import evaluate
from lbcompanion.html.eligible import eligible
from lbcompanion.html.inject import Injector
from lbcompanion.html.redaction import RedactionError, redact
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.model import Page, to_rfc3339
from lbcompanion.node.capture.insertion import Insertion
from lbcompanion.node.capture.page_policy import NO_TOKEN, Policy
from lbcompanion.node.capture.plan import RequestPlan
from lbcompanion.node.endpoints.application_client import Answered, NoPageError
from lbcompanion.node.endpoints.fetch_auth import CallerVerdict
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.context import LocalRequest
from lbcompanion.protocol.tokens import Tokens, abbreviate
from lbcompanion.settings import NodeSettings
from lbcompanion.stores.interface import IPageStore

_SECRET = frozenset({"secret", "public_keys", "url"})
#: So much of a page, and of its copy, is shown; in bytes.
SHOWN_BYTES = 262144


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
    """Answers ``GET debug``.

    ``?url=/path`` asks what would be decided about a request, with ``method``, ``cookie`` and any number of
    ``header=Name: value``; about its answer too, with ``status`` and any number of ``answer=Name: value``.
    ``compare`` beside ``url`` asks the application for that page now, and shows what a visitor gets, and its copy.
    ``?token=...`` asks for a copy that is kept, and for the page as far as it can be made of that.

    :param ask: asks the application; see :meth:`lbcompanion.node.endpoints.application_client.Application.ask`.
    """

    def __init__(
        self,
        *,
        settings: NodeSettings,
        policy: Policy,
        tokens: Tokens,
        store: IPageStore,
        ask: Callable[[RequestHead], Deferred[Answered]],
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._tokens = tokens
        self._store = store
        self._ask = ask

    def tell(self, request: LocalRequest, verdict: CallerVerdict) -> Deferred[dict[str, Any]]:
        """What an allowed caller is shown."""
        return Deferred.fromCoroutine(self._tell(request, verdict))

    async def _tell(self, request: LocalRequest, verdict: CallerVerdict) -> dict[str, Any]:
        query = parse_qs(request.head.target.partition(b"?")[2].decode("latin-1"))
        said: dict[str, Any] = {
            "node": self._settings.node.name,
            "caller": {"allowed": verdict.allowed, "address": verdict.address, "key": verdict.key},
        }
        if "url" in query:
            head, scheme = _request(query, request)
            said["decision"] = self._decision(query, head, scheme)
            if "compare" in query:
                said["compared"] = await self._compared(head, scheme)
        if "token" in query:
            said["copy"] = await self._copy(query["token"][0], request.scheme)
        counters = self._policy.counters
        said["counted"] = _counted(counters)
        said["recent"] = [one.shown() for one in reversed(counters.recent)]
        said["settings"] = settings_without_secrets(self._settings)
        return said

    def _decision(self, query: dict[str, list[str]], head: RequestHead, scheme: str) -> dict[str, Any]:
        why = self._policy.recording.refusal(head)
        said: dict[str, Any] = {
            "captured": not why,
            "reason": why or "its answer decides (status, type, size)",
            "rules": [{"rule": rule, "says": says} for rule, says in self._policy.recording.rules_for(head)],
            "uncacheable": self._policy.recording.uncacheable(head),
            "outlives_pull": self._policy.recording.outlives(head.target.decode("latin-1")),
        }
        if "answer" in query or "status" in query:
            answer = [*_fields(query.get("answer", ["Content-Type: text/html"]))]
            status = int(query["status"][0]) if query.get("status", [""])[0].isdigit() else 200
            told = ResponseHead.from_fields(11, status, b"", answer)
            said["answer"] = self._answer(head, told, scheme)
        return said

    def _answer(self, head: RequestHead, answer: ResponseHead, scheme: str) -> dict[str, Any]:
        policy = self._policy
        plan = RequestPlan(policy, head, "", False, scheme)
        judged = policy.judged(head, answer)
        # A HEAD leaves no copy, though its fields are the GET's.
        no_page = "HEAD" if head.method == b"HEAD" else ""
        why = plan.reason or plan.not_captured(answer, judged) or no_page
        origin = policy.origin(head, False, scheme)
        inserted = policy.insert(NO_TOKEN, origin, judged.xhtml)
        policies = policy.policies(answer, origin, inserted)
        verdict = evaluate(policies, origin + policy.script_url, inserted=inserted)
        not_injected = judged.reason or no_page or ("" if self._settings.inject.enabled else "injection is off")
        if not not_injected and not verdict.allowed:
            not_injected = f"blocked by CSP: {verdict.directive}"
        return {
            "captured": not why,
            "reason": why,
            "injected": not why and not not_injected,
            "not_injected": not_injected,
            "policies": [value.decode("latin-1") for value in policies],
            "adapted": policies != answer.all(b"content-security-policy"),
            "nonce_used": verdict.nonce is not None,
        }

    async def _compared(self, head: RequestHead, scheme: str) -> dict[str, Any]:
        """The page as the application makes it now: what a visitor gets, and the copy that would be kept."""
        if head.method != b"GET":
            return {"known": False, "why": "only a GET asks the application without doing anything"}
        try:
            answered = await self._ask(head)
        except NoPageError as error:
            return {"known": False, "why": str(error)}
        decided = self._answer(head, answered.head, scheme)
        judged = self._policy.judged(head, answered.head)
        page = answered.body
        charset = page_charset(answered.head.get(b"content-type") or b"", page[:1024])
        said = {"known": True, "status": answered.head.status, "bytes": len(page), **decided}
        shown = page
        if decided["injected"]:
            origin = self._policy.origin(head, False, scheme)
            inserted = self._policy.insert(NO_TOKEN, origin, judged.xhtml)
            policies = self._policy.policies(answered.head, origin, inserted)
            plan = RequestPlan(self._policy, head, "", False, scheme)
            injector = _injector(plan.insertion(policies, judged, NO_TOKEN, origin))
            shown = page if injector is None else injector.feed(page) + injector.finish()
            if injector is not None and not injector.placed:
                why = injector.refusal.value if injector.refusal else ""
                directive = f": {injector.directive}" if injector.directive else ""
                said |= {"injected": False, "not_injected": why + directive}
        said["page_text"] = _text(shown, charset or "utf-8")
        if not decided["captured"]:
            return said
        rules = self._policy.rules
        try:
            copy = redact(page, rules.exclude_blocks, rules.masks, charset)
        except RedactionError as error:
            return said | {"captured": False, "reason": str(error)}
        return said | {"left_out_bytes": len(page) - len(copy), "text": _text(copy, charset or "utf-8")}

    async def _copy(self, token: str, scheme: str) -> dict[str, Any]:
        try:
            owner = self._tokens.owner_of(token)
        except TokenError as error:
            return {"known": False, "why": str(error)}
        try:
            found = await self._store.peek(token)
        except StoreError as error:
            return {"known": False, "token": abbreviate(token), "owner": owner, "why": str(error)}
        if not isinstance(found, Page):
            return {
                "known": False,
                "token": abbreviate(token),
                "owner": owner,
                "why": found.reason.value,
                "detail": found.detail,
            }
        charset = page_charset(found.content_type.encode("latin-1", "replace"), found.body[:1024]) or "utf-8"
        return {
            "known": True,
            "token": abbreviate(token),
            "owner": owner,
            "url": found.url,
            "method": found.method,
            "status": found.status,
            "content_type": found.content_type,
            "captured_at": to_rfc3339(found.captured_at),
            "bytes": len(found.body),
            "text": _text(found.body, charset),
            "page": "made anew from the copy: what is masked or excluded is missing in it as well, and no policy of a"
            " header is known; with url and compare the application is asked for the page itself",
            "page_text": _text(
                self._page_of(found, scheme).replace(token.encode(), abbreviate(token).encode()), charset
            ),
        }

    def _page_of(self, page: Page, scheme: str) -> bytes:
        """A page as a visitor gets it, made from its copy."""
        parts = urlsplit(page.url)
        fields = [(b"host", parts.netloc.encode("latin-1", "replace"))]
        target = parts.path.encode("latin-1", "replace") or b"/"
        head = RequestHead.from_fields(b"GET", target, 11, fields)
        plan = RequestPlan(self._policy, head, "", False, parts.scheme or scheme)
        answer: list[Field] = [(b"content-type", page.content_type.encode("latin-1", "replace"))]
        judged = eligible(fields, page.status, answer)
        origin = f"{parts.scheme}://{parts.netloc}"
        if not judged.inject or not self._settings.inject.enabled:
            return page.body
        injector = _injector(plan.insertion([], judged, page.token, origin))
        return page.body if injector is None else injector.feed(page.body) + injector.finish()


def _injector(insertion: Insertion) -> Injector | None:
    """None where the page's policy forbids the script."""
    return insertion.injector() if insertion.allowed else None


def _request(query: dict[str, list[str]], request: LocalRequest) -> tuple[RequestHead, str]:
    """The request that is asked about, and its scheme."""
    parts = urlsplit(query["url"][0])
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.netloc.encode("latin-1", "replace") or request.head.get(b"host") or b"localhost"
    fields = [(b"host", host), *_fields(query.get("header", []))]
    if "cookie" in query:
        fields.append((b"cookie", query["cookie"][0].encode("latin-1", "replace")))
    method = query.get("method", ["GET"])[0].encode("ascii", "replace")
    head = RequestHead.from_fields(method, target.encode("latin-1", "replace"), 11, fields)
    return head, parts.scheme or request.scheme


def _fields(lines: list[str]) -> list[Field]:
    """``Name: value`` lines as the parsers give them."""
    found = []
    for line in lines:
        name, _, value = line.partition(":")
        found.append((name.strip().lower().encode("latin-1", "replace"), value.strip().encode("latin-1", "replace")))
    return found


def _text(data: bytes, charset: str) -> str:
    try:
        return data[:SHOWN_BYTES].decode(charset, "replace")
    except LookupError:
        return data[:SHOWN_BYTES].decode("latin-1")


def _counted(counters: Counters) -> dict[str, Any]:
    return {
        "captured": counters.captured,
        "injected": counters.injected,
        "not_captured": dict(counters.not_captured),
        "not_injected": dict(counters.not_injected),
        "failed_open": dict(counters.failed_open),
    }
