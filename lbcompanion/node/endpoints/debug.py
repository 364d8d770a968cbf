"""The debug page: the decisions about a caller and a page with their reasons; settings without secrets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import attrs
from twisted.internet.defer import Deferred

from lbcompanion.errors import StoreError, TokenError
from lbcompanion.html.charset import bom_charset, page_charset, python_codec
from lbcompanion.html.inject import Injector
from lbcompanion.html.masks import RedactionError
from lbcompanion.html.page_detection import detect_page
from lbcompanion.html.redaction import redact
from lbcompanion.http1.heads import Field, RequestHead, ResponseHead
from lbcompanion.model import Page, to_rfc3339
from lbcompanion.node.capture.insertion import Insertion
from lbcompanion.node.capture.page_policy import NO_TOKEN, PagePolicy
from lbcompanion.node.capture.plan import RequestPlan
from lbcompanion.node.endpoints.application_client import NoPageError, UpstreamResponse
from lbcompanion.node.endpoints.fetch_auth import AuthResult
from lbcompanion.node.metrics.counters import Counters
from lbcompanion.node.proxy.context import InternalRequest
from lbcompanion.protocol.tokens import Tokens, abbreviate
from lbcompanion.settings import NodeSettings
from lbcompanion.stores.interface import IPageStore

_SECRET = frozenset({"secret", "public_keys", "url"})
#: How much of a page and of its copy is shown, in bytes.
SHOWN_BYTES = 262144


def settings_without_secrets(settings: NodeSettings) -> dict[str, Any]:
    """All effective settings, without secrets and URLs that may contain a password."""

    def plain(value: object) -> object:
        if isinstance(value, dict):
            return {key: "(hidden)" if key in _SECRET else plain(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [plain(entry) for entry in value]
        if isinstance(value, bytes):
            return f"({len(value)} bytes)"
        return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)

    visitor_page = plain(attrs.asdict(settings, filter=lambda attribute, _: attribute.name != "file"))
    assert isinstance(visitor_page, dict)
    return visitor_page


class DebugReporter:
    """Answers ``GET debug``.

    ``?url=/path`` shows the decision about a request, with ``method``, ``cookie`` and any number of
    ``header=Name: value``; about its response too, with ``status`` and any number of ``answer=Name: value``.
    ``compare`` with ``url`` requests the page from the application and shows the visitor's page and the copy.
    ``?token=...`` shows a stored copy, and the page as far as it can be rebuilt from the copy.

    :param ask: :meth:`lbcompanion.node.endpoints.application_client.UpstreamClient.ask`, which requests a page.
    """

    def __init__(
        self,
        *,
        settings: NodeSettings,
        policy: PagePolicy,
        tokens: Tokens,
        store: IPageStore,
        ask: Callable[[RequestHead], Deferred[UpstreamResponse]],
        upstream: Callable[[], dict[str, int]],
    ) -> None:
        self._settings = settings
        self._policy = policy
        self._tokens = tokens
        self._store = store
        self._ask = ask
        self._upstream = upstream

    def report(self, request: InternalRequest, verdict: AuthResult) -> Deferred[dict[str, Any]]:
        """The report for an authorized caller."""
        return Deferred.fromCoroutine(self._report(request, verdict))

    async def _report(self, request: InternalRequest, verdict: AuthResult) -> dict[str, Any]:
        query = parse_qs(request.head.target.partition(b"?")[2].decode("latin-1"))
        report: dict[str, Any] = {
            "node": self._settings.node.name,
            "caller": {"allowed": verdict.allowed, "address": verdict.address, "key": verdict.key},
        }
        if "url" in query:
            head, scheme = _request(query, request)
            report["decision"] = self._decision(query, head, scheme)
            if "compare" in query:
                report["compared"] = await self._compare(head, scheme)
        if "token" in query:
            report["copy"] = await self._copy(query["token"][0], request.scheme)
        report["upstream"] = self._upstream()
        counters = self._policy.counters
        report["counted"] = _counts(counters)
        report["recent"] = [decision.shown() for decision in reversed(counters.recent)]
        report["settings"] = settings_without_secrets(self._settings)
        return report

    def _decision(self, query: dict[str, list[str]], head: RequestHead, scheme: str) -> dict[str, Any]:
        why = self._policy.capture_rules.refusal(head)
        report: dict[str, Any] = {
            "captured": not why,
            "reason": why or "its answer decides (status, type, size)",
            "rules": [{"rule": rule, "says": says} for rule, says in self._policy.capture_rules.explain(head)],
            "uncacheable": self._policy.capture_rules.uncacheable(head),
            "outlives_pull": self._policy.capture_rules.outlives("http://_" + head.target.decode("latin-1")),
        }
        if "answer" in query or "status" in query:
            answer = [*_fields(query.get("answer", ["Content-Type: text/html"]))]
            status = int(query["status"][0]) if query.get("status", [""])[0].isdigit() else 200
            head_of_answer = ResponseHead.from_fields(11, status, b"", answer)
            report["answer"] = self._answer(head, head_of_answer, scheme)
        return report

    def _answer(self, head: RequestHead, answer: ResponseHead, scheme: str) -> dict[str, Any]:
        policy = self._policy
        plan = RequestPlan(policy, head, "", trusted=False, scheme=scheme)
        eligibility = policy.eligibility(head, answer)
        # A HEAD has no copy, though its fields are those of GET.
        no_page = "HEAD" if head.method == b"HEAD" else ""
        origin = policy.origin(head, trusted=False, scheme=scheme)
        why = plan.reason or plan.not_captured(answer, eligibility, origin) or no_page
        inserted = policy.inserted_for(NO_TOKEN, origin, xhtml=eligibility.xhtml)
        csp_headers = policy.csp_headers(answer, origin, inserted)
        verdict = policy.verdict(csp_headers, origin + policy.script_url, inserted)
        not_injected = policy.not_injected(answer, eligibility) or no_page
        if not not_injected and not verdict.allowed:
            not_injected = f"blocked by CSP: {verdict.directive}"
        return {
            "captured": not why,
            "reason": why,
            "injected": not why and not not_injected,
            "not_injected": not_injected,
            "policies": [value.decode("latin-1") for value in csp_headers],
            "adapted": csp_headers != answer.all(b"content-security-policy"),
            "nonce_used": verdict.nonce is not None,
        }

    async def _compare(self, head: RequestHead, scheme: str) -> dict[str, Any]:
        """Request the page now: the visitor's page, and the copy that would be stored."""
        if head.method != b"GET":
            return {"known": False, "why": "only a GET asks the application without doing anything"}
        try:
            response = await self._ask(head)
        except NoPageError as error:
            return {"known": False, "why": str(error)}
        decision = self._answer(head, response.head, scheme)
        eligibility = self._policy.eligibility(head, response.head)
        page = response.body
        charset = page_charset(response.head.get(b"content-type") or b"", page[:1024])
        report = {"known": True, "status": response.head.status, "bytes": len(page), **decision}
        visitor_page = page
        if decision["injected"]:
            origin = self._policy.origin(head, trusted=False, scheme=scheme)
            inserted = self._policy.inserted_for(NO_TOKEN, origin, xhtml=eligibility.xhtml)
            csp_headers = self._policy.csp_headers(response.head, origin, inserted)
            plan = RequestPlan(self._policy, head, "", trusted=False, scheme=scheme)
            injector = _injector(plan.insertion(csp_headers, eligibility, NO_TOKEN, origin))
            visitor_page = page if injector is None else injector.feed(page) + injector.finish()
            if injector is not None and not injector.inserted:
                why = injector.refusal.value if injector.refusal else ""
                directive = f": {injector.directive}" if injector.directive else ""
                report |= {"injected": False, "not_injected": why + directive}
        report["page_text"] = _text(visitor_page, charset or "utf-8")
        if not decision["captured"]:
            return report
        capture_limits = self._policy.capture_limits
        xhtml = eligibility.xhtml
        # An XML page names its encoding otherwise than by a <meta>.
        declared = bom_charset(page) or eligibility.charset
        try:
            copy = redact(
                page,
                exclude_blocks=capture_limits.exclude_blocks,
                masks=capture_limits.masks,
                charset=declared if xhtml else charset,
                xhtml=xhtml,
            )
        except RedactionError as error:
            return report | {"captured": False, "reason": str(error)}
        return report | {"left_out_bytes": len(page) - len(copy), "text": _text(copy, charset or "utf-8")}

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
            "page": "rebuilt from the copy: masked and excluded parts are missing, and the policies of the header are"
            " unknown; with url and compare the page itself is requested from the application",
            "page_text": _text(
                self._rebuilt_page(found, scheme).replace(token.encode(), abbreviate(token).encode()), charset
            ),
        }

    def _rebuilt_page(self, page: Page, scheme: str) -> bytes:
        """The visitor's page, rebuilt from the copy."""
        parts = urlsplit(page.url)
        fields = [(b"host", parts.netloc.encode("latin-1", "replace"))]
        target = parts.path.encode("latin-1", "replace") or b"/"
        head = RequestHead.from_fields(b"GET", target, 11, fields)
        plan = RequestPlan(self._policy, head, "", trusted=False, scheme=parts.scheme or scheme)
        answer: list[Field] = [(b"content-type", page.content_type.encode("latin-1", "replace"))]
        eligibility = detect_page(fields, page.status, answer)
        origin = f"{parts.scheme}://{parts.netloc}"
        if not eligibility.inject or not self._settings.inject.enabled:
            return page.body
        injector = _injector(plan.insertion([], eligibility, page.token, origin))
        return page.body if injector is None else injector.feed(page.body) + injector.finish()


def _injector(insertion: Insertion) -> Injector | None:
    """The injector; None if the page's policies forbid the script."""
    return insertion.injector() if insertion.allowed else None


def _request(query: dict[str, list[str]], request: InternalRequest) -> tuple[RequestHead, str]:
    """The request described by the query, and its scheme."""
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
    """Parse ``Name: value`` lines into fields with lower-case names."""
    found = []
    for line in lines:
        name, _, value = line.partition(":")
        found.append((name.strip().lower().encode("latin-1", "replace"), value.strip().encode("latin-1", "replace")))
    return found


def _text(data: bytes, charset: str) -> str:
    try:
        return data[:SHOWN_BYTES].decode(python_codec(charset), "replace")
    except LookupError:
        return data[:SHOWN_BYTES].decode("latin-1")


def _counts(counters: Counters) -> dict[str, Any]:
    return {
        "requests": counters.requests,
        "usual_responses": counters.usual_responses,
        "captured": counters.captured,
        "injected": counters.injected,
        "not_captured": dict(counters.not_captured),
        "not_injected": dict(counters.not_injected),
        "failed_open": dict(counters.failed_open),
    }
