"""The insertion into one page, as far as its content security policies allow it."""

from __future__ import annotations

from collections.abc import Callable

from lbcompanion.html.charset import utf16_variant
from lbcompanion.html.fast_path import fast_head_end, fast_head_start
from lbcompanion.html.inject import Injector
from lbcompanion.html.page_detection import Eligibility, Refusal
from lbcompanion.node.capture.page_policy import PagePolicy

#: The reason for a page without the script if a policy forbids it; the directive follows.
BLOCKED = Refusal.CSP.value


class Insertion:
    """The snippets to insert into one page.

    :param path: the path of the request.
    :param csp_headers: the content security policies of the page's header.
    :ivar allowed: whether the policies of the header allow the insertion; a refusal is counted.
    """

    __slots__ = (
        "_csp_headers",
        "_eligibility",
        "_nonce",
        "_origin",
        "_path",
        "_policy",
        "_script_path",
        "_snippets",
        "_token",
        "allowed",
    )

    def __init__(
        self,
        *,
        policy: PagePolicy,
        path: bytes,
        csp_headers: list[bytes],
        eligibility: Eligibility,
        token: str,
        origin: str,
    ) -> None:
        self._policy = policy
        self._path = path
        self._csp_headers = csp_headers
        self._eligibility = eligibility
        self._token = token
        self._origin = origin
        self.allowed = True
        self._nonce: str | None = None
        self._script_path = policy.script_url
        if policy.uses_default_tag and not csp_headers and not eligibility.xhtml:
            self._script_path = ""
            self._snippets = (token.encode().join(policy.usual_tag_parts(origin, path)), b"")
            return
        snippets = self._snippets_allowed_by(())
        if isinstance(snippets, str):
            policy.counters.count_not_injected(path, f"{BLOCKED}: {snippets}")
            self.allowed = False
            snippets = (b"", b"")
        self._snippets = snippets

    def transform_whole(self, page: bytes) -> list[bytes] | None:
        """Insert into a page in one piece; return the result in pieces, or None if only the injector can do it."""
        policy = self._policy
        eligibility = self._eligibility
        top, bottom = self._snippets
        if bottom or not top or eligibility.xhtml or policy.buffers_pages:
            return None
        if policy.uses_default_tag:
            at = fast_head_end(page, eligibility.charset, len(top), base_allowed=not policy.absolute_after_base)
        else:
            at = fast_head_start(page, eligibility.charset, len(top))
        return None if at is None else [page[:at], top, page[at:]]

    def injector(self) -> Injector:
        """The injector, for a page in pieces or an unusual page."""
        policy = self._policy
        eligibility = self._eligibility
        return Injector(
            self._snippets[0],
            self._snippets[1],
            top_at_head_end=policy.uses_default_tag,
            xhtml=eligibility.xhtml,
            charset_known=eligibility.charset is not None,
            utf_16=utf16_variant(eligibility.charset),
            needs_document=eligibility.needs_document,
            accepts_head=eligibility.accepts_head,
            on_policies=self._snippets_allowed_by,
            after_base=self._after_base(),
            skip_if=policy.skip_if,
            insertion_points=policy.insertion_points,
            limit_bytes=policy.capture_limits.max_page_bytes,
        )

    def _snippets_allowed_by(self, meta_csp: tuple[str, ...]) -> tuple[bytes, bytes] | str:
        """The top and bottom snippets, or the directive that forbids them.

        :param meta_csp: the policies of its ``<meta>`` tags.
        """
        policy = self._policy
        origin = self._origin
        nonce = None
        script_path = policy.script_path_for(self._path) if policy.uses_default_tag else policy.script_url
        if self._csp_headers or meta_csp:
            inserted = policy.inserted_for(self._token, origin, xhtml=self._eligibility.xhtml)
            policies: list[bytes | str] = [*self._csp_headers, *meta_csp]
            script_path, verdict = policy.allowed_script_path(script_path, policies, self._path, origin, inserted)
            if not verdict.allowed:
                return verdict.directive
            nonce = self._nonce = verdict.nonce
        self._script_path = script_path
        if policy.uses_default_tag:
            return policy.script_tag(self._token, origin, script_path, nonce, xhtml=self._eligibility.xhtml), b""
        return policy.fill_snippets(self._token, origin, nonce)

    def _after_base(self) -> Callable[[], tuple[bytes, bytes]] | None:
        policy = self._policy
        if policy.uses_default_tag:
            return self._tag_after_base if policy.absolute_after_base else None
        return self._snippets_after_base if policy.uses_prefix else None

    def _tag_after_base(self) -> tuple[bytes, bytes]:
        policy = self._policy
        path = self._script_path or policy.script_path_for(self._path)
        if not path.startswith("/"):
            path = policy.script_path_after_base(self._path)
        return policy.script_tag(
            self._token, self._origin, path, self._nonce, xhtml=self._eligibility.xhtml, after_base=True
        ), b""

    def _snippets_after_base(self) -> tuple[bytes, bytes]:
        return self._policy.fill_snippets(self._token, self._origin, self._nonce, after_base=True)
