"""Content Security Policy: what forbids the script, what lets it in, and what ``adapt`` makes of it."""

from __future__ import annotations

from tests.html.cases.case import HTML, INJECTED, PAGE, Case

SCRIPT = "https://www.example.com/_lbc/fetch-from.js"
NOTICE = "https://www.example.com/_lbc/notice"
WITH_NONCE = INJECTED.replace("{T}", "{N}")
ADAPT = {"inject": {"csp": "adapt"}}


def line(policy: str) -> str:
    """A header line with it."""
    return f"Content-Security-Policy: {policy}"


def meta(policy: str) -> str:
    """The page with it."""
    return PAGE.replace("<head>", f'<head><meta http-equiv="Content-Security-Policy" content="{policy}">')


def allowed(*policies: str, out: str = INJECTED) -> Case:
    return Case(
        "allowed: " + " | ".join(policies),
        out,
        answered=(HTML, *map(line, policies)),
        told=(line(policies[0]),) if len(policies) == 1 else (),
    )


def blocked(directive: str, *policies: str) -> Case:
    """Not changed, but captured."""
    return Case("blocked: " + " | ".join(policies), None, PAGE, None, f"blocked by CSP: {directive}",
                answered=(HTML, *map(line, policies)), told=(line(policies[0]),) if len(policies) == 1 else ())  # fmt: skip


def adapted(before: str, after: str, out: str = INJECTED) -> Case:
    return Case(f"adapted: {before}", out, answered=(HTML, line(before)), told=(line(after),), settings=ADAPT)


CASES = [
    allowed("default-src 'self'"),
    allowed("default-src *"),
    allowed("script-src https:; connect-src https:"),
    allowed("script-src www.example.com"),
    allowed("script-src *.example.com"),
    allowed("script-src https://www.example.com/_lbc/"),
    allowed("img-src 'none'"),
    allowed("script-src-elem 'self'; script-src 'none'"),
    allowed("require-trusted-types-for 'script'; trusted-types a"),
    allowed("sandbox allow-scripts allow-same-origin"),
    allowed("script-src 'nonce-abc'", out=WITH_NONCE),
    allowed("script-src 'strict-dynamic' 'nonce-abc'", out=WITH_NONCE),
    allowed("script-src 'strict-dynamic' 'nonce-abc' 'unsafe-inline' https:", out=WITH_NONCE),
    allowed("script-src 'nonce-abc'", "script-src 'nonce-abc' 'nonce-def'", out=WITH_NONCE),
    allowed("script-src 'self' 'nonce-abc'"),
    blocked("script-src", "script-src 'none'"),
    blocked("default-src", "default-src 'none'"),
    blocked("script-src", "script-src 'unsafe-inline'"),
    blocked("script-src", "script-src https://cdn.test"),
    blocked("script-src", "script-src 'strict-dynamic' 'self'"),
    blocked("script-src", "script-src 'sha256-AAAA'"),
    blocked("script-src-elem", "script-src-elem 'none'; script-src 'self'"),
    blocked("connect-src", "script-src 'self'; connect-src 'none'"),
    blocked("sandbox", "sandbox"),
    blocked("script-src", "script-src 'self'", "script-src 'none'"),
    blocked("script-src", "script-src 'self', script-src 'none'"),
    blocked("script-src", "script-src 'nonce-abc'", "script-src 'nonce-def'"),
    Case("Report-Only forbids nothing, and stays", answered=(HTML, "Content-Security-Policy-Report-Only: default-src 'none'"),
         told=("Content-Security-Policy-Report-Only: default-src 'none'",)),
    Case("Report-Only is never adapted", settings=ADAPT,
         answered=(HTML, "Content-Security-Policy-Report-Only: default-src 'none'"),
         told=("Content-Security-Policy-Report-Only: default-src 'none'", "Content-Security-Policy:")),
    # In the page.
    Case("meta: allowed", meta("script-src 'self'").replace("</head>", "{T}</head>")),
    Case("meta: nonce", meta("script-src 'nonce-abc'").replace("</head>", "{N}</head>")),
    Case("meta: blocked", None, meta("script-src 'none'"), None, "blocked by CSP: script-src"),
    Case("meta: blocked by default-src", None, meta("default-src 'none'"), None, "blocked by CSP: default-src"),
    Case("meta: cannot be adapted", None, meta("script-src 'none'"), None, "blocked by CSP: script-src", settings=ADAPT),
    Case("meta and header, one nonce", meta("script-src 'nonce-abc'").replace("</head>", "{N}</head>"),
         answered=(HTML, line("script-src 'nonce-abc' 'nonce-def'"))),
    Case("meta and header, none in common", None, meta("script-src 'nonce-abc'"), None, "blocked by CSP: script-src",
         answered=(HTML, line("script-src 'nonce-def'"))),
    # Adapted.
    adapted("script-src 'none'", f"script-src {SCRIPT}"),
    adapted("default-src 'none'", f"default-src 'none'; script-src {SCRIPT}; connect-src {NOTICE}"),
    adapted("script-src 'unsafe-inline'", f"script-src 'unsafe-inline' {SCRIPT}"),
    adapted("script-src 'self'; connect-src a.test", f"script-src 'self'; connect-src a.test {NOTICE}"),
    adapted("script-src 'nonce-abc'; connect-src a.test", f"script-src 'nonce-abc'; connect-src a.test {NOTICE}", WITH_NONCE),
    adapted("script-src 'self'", "script-src 'self'"),
    Case("cannot be adapted: strict-dynamic without a nonce", None, PAGE, None, "blocked by CSP: script-src", settings=ADAPT,
         answered=(HTML, line("script-src 'strict-dynamic' 'unsafe-inline'")),
         told=(line("script-src 'strict-dynamic' 'unsafe-inline'"),)),
    Case("cannot be adapted: sandbox", None, PAGE, None, "blocked by CSP: sandbox", settings=ADAPT,
         answered=(HTML, line("sandbox")), told=(line("sandbox"),)),
    Case("a page that gets no script keeps its policy", None, PAGE, None, "no-transform", settings=ADAPT,
         answered=(HTML, "Cache-Control: no-transform", line("script-src 'none'")), told=(line("script-src 'none'"),)),
]  # fmt: skip
