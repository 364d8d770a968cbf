"""``[inject] csp = "adapt"``: adds the sources that the recorder script needs to a page's Content Security Policy.

The addresses of the script and of its posts are added to the directives that apply to them, and so are the hashes of a
snippet's inline scripts. No nonce is added to a policy. No hash is added where ``'unsafe-inline'`` is in force: a hash
would switch it off, and is not needed. Three policies cannot be adapted: a ``sandbox`` without scripts;
``'strict-dynamic'`` without a nonce of the page, if a script has an address; and any policy that forbids inline scripts
whose text is not known. Policies in ``<meta>`` and Report-Only policies are not changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from ipaddress import ip_address
from urllib.parse import SplitResult, urlsplit

from lbcompanion.html.csp import (
    CONNECTS,
    MAX_POLICY_CHARS,
    SCRIPTS,
    InsertedScripts,
    Policy,
    allowed_without_nonce,
    effective_directive,
    inline_allowed,
    is_sandboxed,
    is_strict,
    notice_target,
    parse,
    source_nonces,
    url_allowed,
)

# A host as a source expression can name it; of addresses, only 127.0.0.1 is ever matched (CSP section 6.7.2.9).
_PLAIN_HOST = re.compile(r"[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)*", re.ASCII)
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9._~/-]*", re.ASCII)
_NONE = re.compile(r"(?i)(?<=[ \t])'none'(?=[ \t]|\Z)")


def adapt(
    values: Sequence[bytes],
    script_url: str,
    *,
    inline: bool = False,
    inserted: InsertedScripts | None = None,
    max_chars: int = MAX_POLICY_CHARS,
) -> list[bytes] | None:
    """Adapt a page's policies.

    :param values: its ``Content-Security-Policy`` header lines.
    :param script_url: the script's absolute URL; its origin is the page's own.
    :param inline: the snippet has a script without ``src`` as well, of which nothing more is known.
    :param inserted: a description of the snippets, instead of ``inline``.
    :param max_chars: longer policies are not read.
    :returns: the adapted lines, or None if they cannot be adapted; a line that allows everything needed is unchanged.
    """
    if sum(map(len, values)) > max_chars:
        return None
    inserted = inserted or InsertedScripts(inline=inline)
    script = urlsplit(script_url)
    notice = notice_target(script_url)
    texts = [value.decode("latin-1").split(",") for value in values]
    policies = [policy for parts in texts for text in parts for policy in parse(text)]
    if any(is_sandboxed(policy) for policy in policies):
        return None
    nonce = _nonce(policies, script, inserted)
    if nonce is None:
        return None
    return [
        ",".join(_adapt_policy(text, nonce, script, notice, inserted) for text in parts).encode("latin-1")
        for parts in texts
    ]


def _nonce(policies: list[Policy], script: SplitResult, inserted: InsertedScripts) -> str | None:
    """The nonce for the scripts; empty if they need no nonce, None if the policies cannot be adapted."""
    forbidding = [
        policy[name]
        for policy in policies
        if (name := effective_directive(policy, SCRIPTS)) and not allowed_without_nonce(policy[name], script, inserted)
    ]
    need_nonce = [source_nonces(sources) for sources in forbidding if not _adaptable_without_nonce(sources, inserted)]
    if need_nonce:
        return min(set.intersection(*need_nonce), default=None) if inserted.carries_nonce else None
    common = [source_nonces(sources) for sources in forbidding]
    return min(set.intersection(*common), default="") if common and inserted.carries_nonce else ""


def _adaptable_without_nonce(sources: tuple[str, ...], inserted: InsertedScripts) -> bool:
    """Whether addresses and hashes are enough."""
    if is_strict(sources) and (inserted.external or not inserted.inline):
        return False
    return not inserted.inline or bool(inserted.hashes) or inline_allowed(sources, ())


def _adapt_policy(text: str, nonce: str, script: SplitResult, notice: SplitResult, inserted: InsertedScripts) -> str:
    """One policy with the missing sources added."""
    found = parse(text)
    if not found:
        return text
    policy = found[0]
    name = effective_directive(policy, SCRIPTS)
    if name and nonce not in source_nonces(policy[name]) and not allowed_without_nonce(policy[name], script, inserted):
        sources = policy[name]
        missing = []
        if inserted.inline and not inline_allowed(sources, inserted.hashes):
            missing += [one for one in inserted.hashes if one not in sources]
        if not (is_strict(sources) or url_allowed(sources, script)):
            missing.append(_source_expression(script))
        text = _with_sources(text, policy, name, "script-src", missing)
    name = effective_directive(policy, CONNECTS)
    if name and not url_allowed(policy[name], notice):
        text = _with_sources(text, policy, name, "connect-src", [_source_expression(notice)])
    return text


def _source_expression(target: SplitResult) -> str:
    """The narrowest source expression that allows a URL of the page's own origin."""
    host = target.hostname or ""
    try:
        is_name = ip_address(host) is None
    except ValueError:
        is_name = True
    if (
        not (is_name or host == "127.0.0.1")
        or not _PLAIN_HOST.fullmatch(host)
        or not _PLAIN_PATH.fullmatch(target.path)
    ):
        return "'self'"
    port = "" if target.port is None else f":{target.port}"
    return f"{target.scheme}://{host}{port}{target.path}"


def _with_sources(text: str, policy: Policy, name: str, directive_name: str, added: Sequence[str]) -> str:
    """The policy's text with more sources in the directive that decides; ``default-src`` stays as it is."""
    if name == "default-src":
        sources = [word for word in policy[name] if word.lower() != "'none'"]
        return f"{text.rstrip('; ')}; {' '.join([directive_name, *sources, *added])}"
    directives = text.split(";")
    for index, directive in enumerate(directives):
        words = directive.split()
        if words and words[0].lower() == name:
            bare = _NONE.sub("", directive.rstrip()).rstrip()
            directives[index] = " ".join([bare, *added])
            break
    return ";".join(directives)
