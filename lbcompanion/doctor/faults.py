"""What is worth telling, and what breaks: one rule in a function."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import frozen

from lbcompanion.doctor.diagnosis import CookieSeen, Finding, NodeSeen, ReplayTold, Severity, worst_first
from lbcompanion.doctor.identity import Basis, Feature
from lbcompanion.doctor.observed import Answer, How, Observed, Replay, Spot
from lbcompanion.doctor.sticking import Sticking

#: A cookie that lives shorter than a crawler tries (``give_up_after_seconds``) may be gone before the fetch.
_SHORT_SECONDS = 900
_ENOUGH_ANSWERS = 6


@frozen
class Seen:
    """All that the rules look at."""

    observed: Observed
    feature: Feature
    found: Sticking
    nodes: tuple[NodeSeen, ...]
    cookies: tuple[CookieSeen, ...]
    telling: tuple[ReplayTold, ...]
    sticky: bool
    astray: bool
    basis: Basis

    @property
    def sticking(self) -> tuple[CookieSeen, ...]:
        """The cookies that stick; none where that could be chance."""
        return tuple(one for one in self.cookies if self.sticky and one.given.name in self.found.names)

    @property
    def answered(self) -> bool:
        """Whether anything came back at all."""
        return any(not one.failure for one in self.observed.bare)


Rule = Callable[[Seen], Iterator[Finding]]


def findings(seen: Seen) -> tuple[Finding, ...]:
    """All findings, the worst first."""
    if not seen.answered:
        words = sorted({one.failure for one in seen.observed.bare})
        hint = " (ca_file, in a crawler's file, says whose certificates are trusted)" if "tls" in words else ""
        return (_problem("unreachable", f"No answer came: {', '.join(words)}{hint}."),)
    return worst_first(finding for rule in RULES for finding in rule(seen))


def _problem(code: str, text: str) -> Finding:
    return Finding(code, Severity.PROBLEM, text)


def _warning(code: str, text: str) -> Finding:
    return Finding(code, Severity.WARNING, text)


def _note(code: str, text: str) -> Finding:
    return Finding(code, Severity.NOTE, text)


def _result(seen: Seen) -> Iterator[Finding]:
    good = sum(one.same for one in seen.telling if one.how is not How.REDUCED)
    tries = sum(one.tries for one in seen.telling if one.how is not How.REDUCED)
    if seen.sticky:
        sure = {
            Basis.PROVEN: "proven by the companions",
            Basis.TOLD: "as the companions say, without the secret to prove it",
        }.get(seen.basis, "as far as can be guessed without companions")
        yield Finding("replay", Severity.GOOD, f"{good} of {tries} replays led back to the same node, {sure}.")
    elif seen.astray:
        names = ", ".join(seen.found.names)
        yield _problem("replay-astray", f"Only {good} of {tries} replays of {names} led to the same node.")


def _nothing_sticks(seen: Seen) -> Iterator[Finding]:
    if seen.sticky or seen.astray:
        return
    nodes = len(seen.nodes)
    if nodes > 1:
        yield _problem(
            "no-stickiness",
            "Requests are spread over several nodes, and no cookie brings one back to its node. A copy can then be "
            "fetched by a direct address (nodes.NAME.direct), by peers that hand it over, or from a central store. If "
            "the balancer sticks by a cookie that only a sign-in brings, name it in cookies.",
        )
    elif seen.feature.kind == "" or nodes == 0:
        yield _problem(
            "cannot-tell",
            "No answer tells which node it came from, so nothing can be said about stickiness. With companions in "
            "front of the nodes it can.",
        )


def _one_node(seen: Seen) -> Iterator[Finding]:
    if len(seen.nodes) != 1 or seen.nodes[0].answers < _ENOUGH_ANSWERS or _cached(seen):
        return
    only, others = seen.nodes[0], sorted(set(seen.observed.known_nodes) - {seen.nodes[0].name})
    all_at = f"All {only.answers} requests without a cookie were answered by {only.name}"
    if others:
        kind = _warning if seen.sticky else _problem
        yield kind(
            "client-address",
            f"{all_at}, though {', '.join(others)} should be there too: the balancer sticks by the client's address, "
            "or the others are down. A crawler comes from another address than the visitors, and reaches one node "
            "only: let the balancer stick by a cookie, or give nodes.NAME.direct.",
        )
    else:
        kind = _warning if seen.sticky else _problem
        yield kind(
            "one-node",
            f"{all_at}: either there is no other, or the balancer sticks by the client's address. A --config that "
            "names the nodes would tell.",
        )


def _who_says(seen: Seen) -> Iterator[Finding]:
    answers = [one for one in seen.observed.bare if one.node]
    if not answers:
        yield _note(
            "no-companions",
            f"No companion answers at {seen.observed.prefix}/whoami: who answered is a guess"
            + (f", by the {seen.feature.kind} {seen.feature.name}".rstrip() if seen.feature.kind else "")
            + ".",
        )
    elif not seen.observed.secret_known:
        yield _note("not-proven", "Companions name the node; with the farm's secret (--config) that would be proven.")
    elif not any(one.proven for one in answers):
        yield _problem(
            "other-secret", "The companions' proofs do not hold: they have another secret than this --config."
        )
    else:
        missing = sorted(set(seen.observed.known_nodes) - {one.name for one in seen.nodes})
        if missing and len(seen.nodes) > 1:
            yield _warning("missing-nodes", f"Configured, but never met: {', '.join(missing)}. Down, or drained?")


def _everything(seen: Seen) -> list[Answer]:
    return [*seen.observed.bare, *(one for replay in seen.observed.replays for one in replay.answers)]


def _cached(seen: Seen) -> bool:
    """Whether a companion's answer was given a second time, to another nonce."""
    asked = [one for one in _everything(seen) if one.spot is Spot.WHOAMI and not one.failure]
    proofs = [one.proof for one in asked if one.proof]
    mixed = seen.observed.secret_known and {one.proven for one in asked if one.node} == {True, False}
    return len(proofs) > len(set(proofs)) or mixed or any(one.from_cache for one in asked)


def _cache(seen: Seen) -> Iterator[Finding]:
    if _cached(seen):
        yield _problem(
            "cache",
            f"A cache in front answers for {seen.observed.prefix}/: an old answer was given again. It would hand out "
            f"one node's answer for another's: let it pass everything under {seen.observed.prefix}/ through.",
        )
    elif any(one.from_cache for one in _everything(seen)):
        yield _warning(
            "cached-page",
            "The page came from a cache in front: such a view reaches no node, and its copy is the one of an earlier "
            'visitor. Set capture.revalidate = "no-store" where every view is to be recorded.',
        )


def _reach(seen: Seen) -> Iterator[Finding]:
    """Where a sticky cookie is handed out, and where a browser sends it."""
    for one in seen.sticking:
        given = one.given
        if not given.covers(f"{seen.observed.prefix}/notice"):
            how = "" if given.path_named else ", the folder of the address that set it, since no Path is given"
            prefix = seen.observed.prefix
            yield _problem(
                "cookie-path",
                f"{given.name} holds for {given.path} only{how}: browsers do not send it to {prefix}/. The balancer "
                "takes what a page asks there for a newcomer's request, and answers with another node's cookie: "
                "visitors are moved, and lose their sessions. The built-in tag asks below the page's folder instead; "
                'snippets of your own, and inject.address = "prefix", do not. Let the balancer set Path=/, or set '
                f'prefix = "{given.path.rstrip("/")}{prefix}" for all nodes and the crawler.',
            )
        if Spot.POST in one.spots and not {Spot.PAGE, Spot.WHOAMI, Spot.ROOT} & set(one.spots):
            yield _warning(
                "post-only",
                f"{given.name} is handed out in answer to POST only: visitors who only read do not stick. The crawler "
                "gets values of its own by POST to whoami.",
            )
        reached = {spot for spot in (Spot.PAGE, Spot.ROOT) if seen.observed.at(spot)}
        if Spot.PAGE not in one.spots and Spot.ROOT in one.spots and Spot.PAGE in reached:
            yield _warning("some-paths", f"{given.name} is handed out at / but not at {seen.observed.path}.")
        if Spot.ROOT in reached and Spot.ROOT not in one.spots and {Spot.PAGE, Spot.WHOAMI} & set(one.spots):
            yield _warning("some-paths", f"{given.name} is not handed out at /, only at some paths.")


def _life(seen: Seen) -> Iterator[Finding]:
    for one in seen.sticking:
        given = one.given
        if given.seconds is not None and given.seconds < _SHORT_SECONDS:
            yield _warning(
                "short-lived",
                f"{given.name} lives for {given.seconds:.0f} s: one recorded with a page may be void before the fetch. "
                "The crawler's own cookies are made anew in time.",
            )
        if given.secure and seen.observed.origin.startswith("http:"):
            yield _warning("secure", f"{given.name} is Secure, and the site was asked by http: browsers drop it.")
        if _renewed(seen, given.name):
            yield _note(
                "renewed", f"{given.name} gets another value in answer to a replay; older ones still lead there."
            )
        if given.http_only:
            yield _note(
                "http-only",
                f"{given.name} is HttpOnly: scripts cannot read it; the node sees it in the notice's request.",
            )


def _whole(seen: Seen) -> list[Replay]:
    return [one for one in seen.observed.replays if one.how is How.WHOLE]


def _renewed(seen: Seen, name: str) -> bool:
    sent = [(one.source.jar[name], one.answers) for one in _whole(seen) if one.source and name in one.names]
    return any(answer.jar.get(name, value) != value for value, answers in sent for answer in answers)


def _kind(seen: Seen) -> Iterator[Finding]:
    if seen.found.together and seen.sticky:
        yield _note("tiers", f"{' and '.join(seen.found.names)} are needed together: several tiers of balancers.")
    if seen.found.invented and seen.sticky:
        yield _note("key", f"Any value of {seen.found.names[0]} sticks: the balancer hashes it, or remembers it.")
    for one in seen.sticking:
        if one.credential and one.routing_part is None:
            yield _note(
                "session",
                f"{one.given.name} looks like a session's credential: it is not recorded. The crawler reaches the "
                "nodes by values of its own.",
            )
    if seen.sticking and any(one.writers and all(w.moves_visitor for w in one.writers) for one in seen.sticking):
        yield _note(
            "moves-visitor",
            "With a cookie of this kind, a replay while its node is down could move the visitor for good: the recorded "
            "value is sent only while the node is known to be up.",
        )


def _trouble(seen: Seen) -> Iterator[Finding]:
    everything = _everything(seen)
    failed = [one for one in everything if one.failure]
    if failed:
        words = ", ".join(sorted({one.failure for one in failed}))
        yield _warning("failures", f"{len(failed)} of {len(everything)} requests got no answer: {words}.")
    page = seen.observed.at(Spot.PAGE)
    if page and page[0].status >= 400:
        yield _warning("page-status", f"The page itself is answered by status {page[0].status}.")
    if not seen.observed.finished:
        yield _warning("unfinished", "Not all was asked that should have been: the time or the requests ran out.")


RULES: tuple[Rule, ...] = (
    _result,
    _nothing_sticks,
    _one_node,
    _who_says,
    _cache,
    _reach,
    _life,
    _kind,
    _trouble,
)
