"""Findings on the journey of one page: which step between browser, balancer, node and crawler is blocked. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from lbcompanion.doctor.diagnosis import Finding, Severity
from lbcompanion.doctor.observations import DONE, Journey, Observations, RequestKind, UpstreamUse
from lbcompanion.protocol.headers import NODE, PROOF, REPR_DIGEST

#: The result of a step that a rate limit refused: it says nothing about the step itself.
_LIMITED = "status 429"
# A cap of so many times the workers is far above them.
_FAR = 2
# A cap is too small if more than this share of the requests had to wait.
_MANY_WAITED = 0.05
_KEEP_HOST = (
    "nginx: proxy_set_header Host $http_host; Apache: ProxyPreserveHost On; Traefik: passHostHeader = true; HAProxy, "
    "Caddy and Envoy keep it by default"
)


def journey_findings(observations: Observations) -> Iterator[Finding]:
    """Return the findings on the journey; none if it was not made."""
    journey = observations.journey
    if journey is None:
        return
    found = [
        *_of_request(observations, journey),
        *_of_page(observations, journey),
        *_of_notice(journey),
        *_of_fetch(observations, journey),
    ]
    yield from found
    if journey.upstream is not None:
        yield from _of_upstream(journey.upstream)
    if _LIMITED in (journey.page, journey.script, journey.notice, journey.fetch):
        yield Finding(
            "journey-unknown",
            Severity.NOTE,
            "A part of the journey was refused by 429 (too many requests), so whether it works is not known. Exempt "
            "this machine's address from the limit, and run the doctor again.",
        )
    complete = journey.page == journey.script == journey.notice == DONE and journey.fetch_proven and journey.confirmed
    if complete and all(finding.severity is Severity.NOTE for finding in found):
        yield Finding(
            "journey",
            Severity.GOOD,
            "A page got its script, the script is answered, a companion reads notices, and a signed fetch and its "
            "confirmation are answered with proof.",
        )


def _seen(observations: Observations, name: str) -> str | None:
    """Return a field of the doctor's request as companions saw it; None if no companion reported it."""
    seen = [dict(each.seen).get(name) for each in observations.responses_to(RequestKind.WHOAMI) if each.seen]
    return next((value for value in seen if value is not None), None)


def _host_of(origin: str) -> str:
    return origin.partition("://")[2].lower()


def _is_host_replaced(observations: Observations) -> bool:
    host = _seen(observations, "host")
    return host is not None and host.lower() != _host_of(observations.origin)


def _of_request(observations: Observations, journey: Journey) -> Iterator[Finding]:
    if _is_host_replaced(observations):
        right = journey.page_origin.lower() == observations.origin.lower()
        yield Finding(
            "host-replaced",
            Severity.NOTE if right else Severity.WARNING,
            f"The balancer replaces Host: nodes see {_seen(observations, 'host')} instead of "
            f"{_host_of(observations.origin)}. "
            + (
                "Pages have the right address anyway, by public_origin or X-Forwarded-Host."
                if right
                else "Nodes name pages by a host that no browser knows; only copies get the right one, from what the "
                f"crawler signs. Let it pass Host on ({_KEEP_HOST}), or "
                f'set public_origin = "{observations.origin}" in [node] of every node.'
            ),
        )
    agent = _seen(observations, "user-agent")
    if agent is not None and agent != observations.user_agent:
        yield Finding(
            "user-agent-replaced",
            Severity.WARNING,
            "The balancer replaces or removes User-Agent: applications, firewalls and the companion cannot tell "
            "visitors and the crawler apart. Let it pass User-Agent on.",
        )


def _of_page(observations: Observations, journey: Journey) -> Iterator[Finding]:
    prefix = observations.prefix
    if journey.page != DONE:
        if journey.page in {"no tag", "not HTML"}:
            yield Finding(
                "not-injected",
                Severity.WARNING,
                f"The page at {observations.path} has no script of the companion ({journey.page}): its path is not "
                "captured, or its policy forbids the script, or the balancer asks the application directly. "
                f"{prefix}/debug?url={observations.path} of a node tells which.",
            )
        return
    is_other = bool(journey.page_origin) and journey.page_origin.lower() != observations.origin.lower()
    if is_other and not _is_host_replaced(observations):
        yield Finding(
            "page-origin",
            Severity.WARNING,
            f"Pages get the address {journey.page_origin} instead of {observations.origin}. Set public_origin = "
            f'"{observations.origin}" in [node] of every node, or let the balancer send X-Forwarded-Proto and '
            "Host, and list it in trusted_proxies.",
        )
    if journey.forbidden:
        yield Finding(
            "script-forbidden",
            Severity.PROBLEM,
            f"The page has the script, but the policy that arrives forbids it ({journey.forbidden}): something behind "
            "the companion adds a Content-Security-Policy. Let that policy allow scripts and connections to 'self'.",
        )
    if journey.script not in ("", DONE, _LIMITED):
        yield Finding(
            "script-blocked",
            Severity.PROBLEM,
            f"The script at {journey.script_url} is answered by {journey.script}: no browser posts notices. Let the "
            f"balancer pass every path with {prefix}/ in it to the nodes of the page.",
        )


def _of_notice(journey: Journey) -> Iterator[Finding]:
    if journey.notice not in ("", DONE, _LIMITED):
        yield Finding(
            "notice-blocked",
            Severity.PROBLEM,
            f"A notice, posted as browsers post it, is answered by {journey.notice} and not by a companion: no view is "
            "recorded. Let the balancer or firewall pass POST with Content-Type text/plain there; or set "
            'notices = "server" in [crawler] of every node.',
        )


def _of_fetch(observations: Observations, journey: Journey) -> Iterator[Finding]:
    prefix = observations.prefix
    if journey.fetch == "digest":
        yield Finding(
            "altered",
            Severity.PROBLEM,
            "The copy was altered on its way: something behind the companion changes HTML (nginx: sub_filter; "
            f"mod_pagespeed; a CDN's rewriting). Exempt everything below {prefix}/ from it.",
        )
    elif journey.fetch not in ("", _LIMITED) and not journey.fetch_proven:
        yield Finding("fetch-refused", Severity.PROBLEM, _why_no_fetch(observations, journey))
    if journey.confirmed is False:
        yield Finding(
            "confirmation-refused",
            Severity.WARNING,
            "The confirmation of a fetch is refused: the balancer or a firewall does not pass DELETE, or POST, below "
            f"{prefix}/page/. Pages are archived, but nodes keep their copies too long. Let it pass both there.",
        )


def _of_upstream(use: UpstreamUse) -> Iterator[Finding]:
    """Whether ``upstream_connections`` fits the number of the application's workers."""
    application = f"The application of {use.node}"
    if not use.configured:
        if use.workers:
            yield Finding(
                "few-workers",
                Severity.NOTE,
                f"{application} seems to serve {use.workers} connections at a time. The companion learnt that and "
                "keeps to it: upstream_connections need not be set.",
            )
        return
    cap = f"upstream_connections of {use.node} allows {use.limit} connections to the application"
    if use.configured != use.limit:
        cap += " in each process"
    share = f"{use.waited} of {use.requests} requests had to wait for one"
    if use.workers and use.limit >= _FAR * use.workers:
        yield Finding(
            "cap-above-workers",
            Severity.WARNING,
            f"{cap}, but it seems to serve {use.workers} at a time: further connections wait where the companion "
            "cannot see them, and idle ones hold workers. Set the number of workers that this node may use, or 0: then "
            "the companion learns it.",
        )
    elif use.workers:
        yield Finding("cap-fits", Severity.GOOD, f"{cap}, and it seems to serve {use.workers} at a time.")
    elif use.waited > use.requests * _MANY_WAITED:
        yield Finding(
            "cap-below-workers",
            Severity.WARNING,
            f"{cap}, and {share}, while nothing shows that it has so few workers. If it has more, raise the number, or "
            "set 0: then the companion learns it. If it has just as many, this is right.",
        )
    else:
        yield Finding(
            "cap-unknown",
            Severity.NOTE,
            f"{cap}. Whether that fits its workers cannot be told: {share}, and the node has not seen the application "
            "busy. Compare it with the application's own settings (MaxRequestWorkers; processes times threads).",
        )


def _why_no_fetch(observations: Observations, journey: Journey) -> str:
    prefix = observations.prefix
    if journey.fetch == "status 403":
        causes = [
            "the fields Signature and Signature-Input do not arrive (let the balancer or firewall pass them on)",
            "[fetch] addresses of the node does not list this machine",
            "the secret or the clock differs",
        ]
        if _seen(observations, "host") is None or _is_host_replaced(observations):
            causes.insert(0, f"the balancer replaces Host ({_KEEP_HOST}; or set public_origin in [node])")
        return f"A signed fetch is refused by 403, so no page can be archived. Causes: {'; '.join(causes)}."
    if journey.fetch == "unproven":
        return (
            f"A signed fetch below {prefix}/page/ is answered without a proof by this secret. Let the balancer pass "
            f"everything below {prefix}/ to the nodes, and the response fields {REPR_DIGEST.text}, {NODE.text} and "
            f"{PROOF.text} back; do not cache it."
        )
    return (
        f"A signed fetch below {prefix}/page/ ends with {journey.fetch}: no page can be archived on this way. Let the "
        f"balancer or firewall pass GET below {prefix}/ with all fields."
    )
