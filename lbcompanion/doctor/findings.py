"""Findings: what is wrong at a site, and what helps; one function for each rule. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from urllib.parse import urljoin, urlsplit

from attrs import frozen

from lbcompanion.doctor.diagnosis import Finding, ObservedCookie, ObservedNode, ReplaySummary, Severity, worst_first
from lbcompanion.doctor.identity import Certainty, Feature
from lbcompanion.doctor.journey_findings import journey_findings
from lbcompanion.doctor.observations import (
    Observations,
    ParsedSetCookie,
    ProbeResponse,
    Replay,
    ReplayMode,
    RequestKind,
)
from lbcompanion.doctor.stickiness import Stickiness
from lbcompanion.protocol.headers import PROOF

#: A cookie with a shorter lifetime than the crawler's ``give_up_after_seconds`` may expire before the fetch.
_SHORT_SECONDS = 900
_MIN_RESPONSES = 6
_TOO_MANY_REQUESTS = 429


@frozen
class Evidence:
    """The input of all rules."""

    observations: Observations
    feature: Feature
    stickiness: Stickiness
    nodes: tuple[ObservedNode, ...]
    cookies: tuple[ObservedCookie, ...]
    conclusive_replays: tuple[ReplaySummary, ...]
    sticky: bool
    misdirected: bool
    certainty: Certainty

    @property
    def sticky_cookies(self) -> tuple[ObservedCookie, ...]:
        """The cookies that stick; empty if that could be chance."""
        return tuple(
            cookie for cookie in self.cookies if self.sticky and cookie.set_cookie.name in self.stickiness.names
        )

    @property
    def got_response(self) -> bool:
        """Whether any request got a response."""
        return any(not response.failure for response in self.observations.without_cookie)


Rule = Callable[[Evidence], Iterator[Finding]]


def findings(evidence: Evidence) -> tuple[Finding, ...]:
    """Apply all rules; the worst findings come first."""
    if not evidence.got_response:
        words = sorted({response.failure for response in evidence.observations.without_cookie})
        hint = " (ca_file, in a crawler's file, says whose certificates are trusted)" if "tls" in words else ""
        return (_problem("unreachable", f"No answer came: {', '.join(words)}{hint}."),)
    return worst_first(finding for rule in RULES for finding in rule(evidence))


def _problem(code: str, text: str) -> Finding:
    return Finding(code, Severity.PROBLEM, text)


def _warning(code: str, text: str) -> Finding:
    return Finding(code, Severity.WARNING, text)


def _note(code: str, text: str) -> Finding:
    return Finding(code, Severity.NOTE, text)


def _replay_result(evidence: Evidence) -> Iterator[Finding]:
    matches = sum(replay.matches for replay in evidence.conclusive_replays if replay.mode is not ReplayMode.REDUCED)
    tries = sum(replay.tries for replay in evidence.conclusive_replays if replay.mode is not ReplayMode.REDUCED)
    if evidence.sticky:
        certainty_text = {
            Certainty.PROVEN: "proven by the companions",
            Certainty.CLAIMED: "as the companions say, without the secret to prove it",
        }.get(evidence.certainty, "as far as can be guessed without companions")
        yield Finding(
            "replay", Severity.GOOD, f"{matches} of {tries} replays led back to the same node, {certainty_text}."
        )
    elif evidence.misdirected:
        names = ", ".join(evidence.stickiness.names)
        yield _problem("replay-astray", f"Only {matches} of {tries} replays of {names} led to the same node.")


def _nothing_sticks(evidence: Evidence) -> Iterator[Finding]:
    if evidence.sticky or evidence.misdirected:
        return
    nodes = len(evidence.nodes)
    if is_whoami_cached(evidence.observations):
        yield _problem(
            "cannot-tell",
            "The companions' answers come from a cache, so nothing can be said about stickiness. See the finding on "
            "the cache.",
        )
    elif nodes > 1:
        yield _problem(
            "no-stickiness",
            "Requests are spread over several nodes, and no cookie brings one back to its node. A copy can then be "
            "fetched by a direct address (nodes.NAME.direct), by peers that hand it over, or from a central store. If "
            "the balancer sticks by a cookie that only a sign-in brings, name it in cookies.",
        )
    elif evidence.feature.kind == "" or nodes == 0:
        yield _problem(
            "cannot-tell",
            "No answer tells which node it came from, so nothing can be said about stickiness. With companions in "
            "front of the nodes it can.",
        )


def _one_node(evidence: Evidence) -> Iterator[Finding]:
    if (
        len(evidence.nodes) != 1
        or evidence.nodes[0].responses < _MIN_RESPONSES
        or is_whoami_cached(evidence.observations)
    ):
        return
    only, others = evidence.nodes[0], sorted(set(evidence.observations.known_nodes) - {evidence.nodes[0].name})
    beginning = f"All {only.responses} requests without a cookie were answered by {only.name}"
    if others:
        kind = _warning if evidence.sticky else _problem
        yield kind(
            "client-address",
            f"{beginning}, though {', '.join(others)} should be there too: the balancer sticks by the client's "
            "address, or the others are down. A crawler comes from another address than the visitors, and reaches one "
            "node only: let the balancer stick by a cookie, or give nodes.NAME.direct.",
        )
    else:
        kind = _warning if evidence.sticky else _problem
        yield kind(
            "one-node",
            f"{beginning}: either there is no other, or the balancer sticks by the client's address. A --config that "
            "names the nodes would tell.",
        )


def _identification(evidence: Evidence) -> Iterator[Finding]:
    responses = [response for response in evidence.observations.without_cookie if response.node]
    statuses = {one.status for one in evidence.observations.responses_to(RequestKind.WHOAMI)}
    if not responses and statuses == {_TOO_MANY_REQUESTS}:
        return  # see rate-limited: nothing is known of companions
    if not responses:
        yield _no_companions(evidence)
    elif not evidence.observations.secret_known:
        yield _note("not-proven", "Companions name the node; with the farm's secret (--config) that would be proven.")
    elif is_whoami_cached(evidence.observations):
        return  # a repeated proof is for another nonce: it says nothing about the secret
    elif not any(response.proof for response in responses):
        yield _problem(
            "proof-removed",
            f"Companions name the node, but no response has the field {PROOF.text}: the balancer or a firewall removes "
            "it, and the crawler believes no answer. Let it pass response fields that begin with Lbc-, and "
            "Repr-Digest.",
        )
    elif not any(response.proven for response in responses):
        yield _problem(
            "other-secret", "The companions' proofs do not hold: they have another secret than this --config."
        )
    else:
        missing = sorted(set(evidence.observations.known_nodes) - {node.name for node in evidence.nodes})
        if missing and len(evidence.nodes) > 1:
            yield _warning("missing-nodes", f"Configured, but never met: {', '.join(missing)}. Down, or drained?")


def _no_companions(evidence: Evidence) -> Finding:
    """A problem if companions are known to be there: one made a page, or the configuration is that of a farm."""
    observations = evidence.observations
    guess = f", by the {evidence.feature.kind} {evidence.feature.name}".rstrip() if evidence.feature.kind else ""
    seen = observations.responses_to(RequestKind.WHOAMI)
    statuses = ", ".join(sorted({f"status {response.status}" for response in seen})) or "nothing"
    blocked = (
        f"{observations.prefix}/whoami is answered by {statuses} without a companion's name: no crawler can fetch a "
        f"copy. Let the balancer or firewall pass everything below {observations.prefix}/ to the nodes, and response "
        "fields that begin with Lbc-"
    )
    if any(response.has_tag for response in _all_responses(observations)):
        return _problem(
            "prefix-blocked",
            f"A companion made the page, but {blocked}; or name the nodes' prefix, if it is another one.",
        )
    if observations.secret_known:
        return _problem(
            "prefix-blocked",
            f"{blocked}; or put companions before the applications, if the balancer asks these directly.",
        )
    return _note(
        "no-companions", f"No companion answers at {observations.prefix}/whoami: who answered is a guess{guess}."
    )


def _all_responses(observations: Observations) -> list[ProbeResponse]:
    return [
        *observations.without_cookie,
        *(response for replay in observations.replays for response in replay.responses),
    ]


def is_whoami_cached(observations: Observations) -> bool:
    """Return whether a cache repeated a companion's response to a request with another nonce."""
    whoami_responses = [one for one in _all_responses(observations) if one.kind is RequestKind.WHOAMI]
    whoami_responses = [one for one in whoami_responses if not one.failure]
    proofs = [whoami_response.proof for whoami_response in whoami_responses if whoami_response.proof]
    mixed = observations.secret_known and {
        whoami_response.proven for whoami_response in whoami_responses if whoami_response.node
    } == {True, False}
    return (
        len(proofs) > len(set(proofs))
        or mixed
        or any(whoami_response.from_cache for whoami_response in whoami_responses)
    )


def _cache(evidence: Evidence) -> Iterator[Finding]:
    prefix = evidence.observations.prefix
    if is_whoami_cached(evidence.observations):
        yield _problem(
            "cache",
            f"A cache in front answers for {prefix}/: an old answer was given again. It would hand out one node's "
            f"answer for another's: let it pass everything under {prefix}/ through.",
        )
    elif any(one.from_cache for one in _all_responses(evidence.observations)):
        yield _warning(
            "cached-page",
            "The page came from a cache in front: such a view reaches no node, and its copy is the one of an earlier "
            'visitor. Set capture.revalidate = "no-store" where every view is to be recorded.',
        )


def _cookie_scope(evidence: Evidence) -> Iterator[Finding]:
    """Check which responses set a sticky cookie, and to which paths a browser sends it."""
    for cookie in evidence.sticky_cookies:
        set_cookie = cookie.set_cookie
        yield from _cookie_path(evidence, set_cookie)
        if RequestKind.POST in cookie.kinds and not {RequestKind.PAGE, RequestKind.WHOAMI, RequestKind.ROOT} & set(
            cookie.kinds
        ):
            yield _warning(
                "post-only",
                f"{set_cookie.name} is handed out in answer to POST only: visitors who only read do not stick. The "
                "crawler gets values of its own by POST to whoami.",
            )
        reached = {kind for kind in (RequestKind.PAGE, RequestKind.ROOT) if evidence.observations.responses_to(kind)}
        if RequestKind.PAGE not in cookie.kinds and RequestKind.ROOT in cookie.kinds and RequestKind.PAGE in reached:
            yield _warning(
                "some-paths", f"{set_cookie.name} is handed out at / but not at {evidence.observations.path}."
            )
        if (
            RequestKind.ROOT in reached
            and RequestKind.ROOT not in cookie.kinds
            and {RequestKind.PAGE, RequestKind.WHOAMI} & set(cookie.kinds)
        ):
            yield _warning("some-paths", f"{set_cookie.name} is not handed out at /, only at some paths.")


def _cookie_path(evidence: Evidence, set_cookie: ParsedSetCookie) -> Iterator[Finding]:
    """Check whether a browser sends the cookie with the script's and the notice's request."""
    prefix, journey = evidence.observations.prefix, evidence.observations.journey
    if set_cookie.covers(f"{prefix}/notice"):
        return
    path_note = "" if set_cookie.path_named else ", the folder of the address that set it, since no Path is given"
    scope = f"{set_cookie.name} holds for {set_cookie.path} only{path_note}: browsers do not send it to {prefix}/. "
    moved = (
        "The balancer treats these requests as those of a new visitor, and sets the cookie of another node: "
        "visitors are moved, and lose their sessions. "
    )
    remedy = f'Let the balancer set Path=/, or set prefix = "{set_cookie.path.rstrip("/")}{prefix}" for all nodes and '
    if journey is not None and journey.script_url:
        if set_cookie.covers(urlsplit(urljoin(journey.script_url, "notice")).path):
            yield _note(
                "cookie-path",
                f"{scope}The page's tag requests its script below the page's folder, where browsers send it, so no "
                'visitor is moved. Your own snippets, and inject.address = "prefix", request it elsewhere.',
            )
        else:
            yield _problem("cookie-path", f"{scope}{moved}{remedy}the crawler.")
        return
    yield _warning(
        "cookie-path",
        f"{scope}The built-in tag requests the script below the page's folder, so browsers send the cookie. Your own "
        f'snippets, and inject.address = "prefix", request it elsewhere. {moved}{remedy}the crawler.',
    )


def _cookie_attributes(evidence: Evidence) -> Iterator[Finding]:
    for cookie in evidence.sticky_cookies:
        set_cookie = cookie.set_cookie
        if set_cookie.seconds is not None and set_cookie.seconds < _SHORT_SECONDS:
            yield _warning(
                "short-lived",
                f"{set_cookie.name} expires after {set_cookie.seconds:.0f} s, so a recorded value may expire before "
                "the fetch. The crawler renews its own cookies in time.",
            )
        if set_cookie.secure and evidence.observations.origin.startswith("http:"):
            yield _warning("secure", f"{set_cookie.name} is Secure, and the site was asked by http: browsers drop it.")
        if _renewed(evidence, set_cookie.name):
            yield _note(
                "renewed", f"{set_cookie.name} gets another value in answer to a replay; older ones still lead there."
            )
        if set_cookie.http_only:
            yield _note(
                "http-only",
                f"{set_cookie.name} is HttpOnly: scripts cannot read it; the node sees it in the notice's request.",
            )


def _whole_replays(evidence: Evidence) -> list[Replay]:
    return [replay for replay in evidence.observations.replays if replay.mode is ReplayMode.WHOLE]


def _renewed(evidence: Evidence, name: str) -> bool:
    sent = [
        (one.source.jar[name], one.responses) for one in _whole_replays(evidence) if one.source and name in one.names
    ]
    return any(response.jar.get(name, value) != value for value, responses in sent for response in responses)


def _special_stickiness(evidence: Evidence) -> Iterator[Finding]:
    if evidence.stickiness.all_needed and evidence.sticky:
        yield _note(
            "tiers", f"{' and '.join(evidence.stickiness.names)} are needed together: several tiers of balancers."
        )
    if evidence.stickiness.invented and evidence.sticky:
        yield _note(
            "key", f"Any value of {evidence.stickiness.names[0]} sticks: the balancer hashes it, or remembers it."
        )
    for cookie in evidence.sticky_cookies:
        if cookie.credential and cookie.routing_part is None:
            yield _note(
                "session",
                f"{cookie.set_cookie.name} looks like a session's credential: it is not recorded. The crawler reaches "
                "the nodes by values of its own.",
            )
    if evidence.sticky_cookies and any(
        cookie.possible_dialects and all(w.moves_visitor for w in cookie.possible_dialects)
        for cookie in evidence.sticky_cookies
    ):
        yield _note(
            "moves-visitor",
            "With a cookie of this kind, a replay while its node is down or in maintenance could move the visitor for "
            "good: the recorded value is sent only right after a cookie of the crawler's own reached the node.",
        )


def _redirects(evidence: Evidence) -> Iterator[Finding]:
    if any(response.redirects for response in _all_responses(evidence.observations)):
        yield _note(
            "cookie-check",
            "A request without the balancer's cookie is answered by a redirect to the same address that sets the "
            "cookie. Doctor and crawler repeat the request with it.",
        )


def _journey(evidence: Evidence) -> Iterator[Finding]:
    yield from journey_findings(evidence.observations)


def _failed_requests(evidence: Evidence) -> Iterator[Finding]:
    responses = _all_responses(evidence.observations)
    failed = [response for response in responses if response.failure]
    if failed:
        words = ", ".join(sorted({one.failure for one in failed}))
        yield _warning("failures", f"{len(failed)} of {len(responses)} requests got no answer: {words}.")
    limited = sum(response.status == _TOO_MANY_REQUESTS for response in responses)
    if evidence.observations.delays or limited:
        yield (_problem if limited else _warning)(
            "rate-limited",
            f"The site answered 429 (too many requests), so the doctor waited {evidence.observations.delays} times"
            + (f"; {limited} requests got no other answer" if limited else "")
            + ". The crawler sends more requests than a visitor: exempt its address from the limit.",
        )
    page = evidence.observations.responses_to(RequestKind.PAGE)
    if page and page[0].status >= 400:
        yield _warning("page-status", f"The page itself is answered by status {page[0].status}.")
    if not evidence.observations.finished:
        yield _warning("unfinished", "The doctor stopped early: it reached its limit of time or of requests.")


RULES: tuple[Rule, ...] = (
    _replay_result,
    _nothing_sticks,
    _one_node,
    _identification,
    _cache,
    _cookie_scope,
    _cookie_attributes,
    _special_stickiness,
    _redirects,
    _journey,
    _failed_requests,
)
