"""The manual's own search leads from the words of an operator to the page about them.

Sphinx' search lists a page above others if a *main* entry of its index (``.. index:: ! WORD``) has the words that were
typed. It has no other way to find numbers, such as 403, and words that the page itself does not use.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

DOCS = Path(__file__).parent.parent / "docs"
_DIRECTIVE = re.compile(r"(?m)^\.\. index::(.*)\n((?:   .*\n)*)")
_TITLE = re.compile(r"(?m)^(\S[^\n]*)\n([=~-])\2{2,}$")

#: Page -> words that have to lead to it.
WANTED: Mapping[str, str] = {
    "platforms": "PHP, php-fpm, DokuWiki, ASP.NET, Mono, xsp4, view state, J2EE, Java, Tomcat, jvmRoute, jsessionid, "
    "mod_proxy_balancer, Ruby on Rails, Rails, Puma, CSRF, flash, Turbo, Django, gunicorn, Express, "
    "forwarding headers, trusted proxy, worker counts",
    "coming-from-modules": "DeleteAfterPull, MaxCachedPages, MaxCachedSeconds, allowed addresses, "
    "address from a header, script file, excluded blocks, AJAX partials, WRUID, direct host, central store, "
    "debug page, robots.txt, FetchFromWithCookies, merged URLs",
    "balancer-haproxy": "HAProxy",
    "balancer-nginx": "nginx",
    "balancer-apache": "Apache",
    "balancer-caddy": "Caddy",
    "balancer-envoy": "Envoy",
    "balancer-traefik": "Traefik",
    "balancer-ingress-nginx": "ingress-nginx",
    "balancer-varnish": "Varnish",
    "balancer-aws-alb": "AWS ALB, ALB",
    "balancer-azure-application-gateway": "Azure Application Gateway",
    "balancer-azure-app-service": "Azure App Service, App Service",
    "balancer-google-cloud": "Google Cloud",
    "balancer-bigip": "F5, BIG-IP",
    "balancer-netscaler": "NetScaler, Citrix",
    "running": "init, host names, systemd, systemd-analyze, LimitNOFILE, KillMode",
    "troubleshooting": "script not injected, 404 in recordings, 404, all open, misrouted, 403 for every fetch, 403, "
    "the site is slow",
    "sizing": "sizing, workers, connections, memory, stores",
    "threat-model": "security model",
    "privacy": "privacy, what is recorded, masks, consent, Sec-GPC, erasure, consent_cookie",
    "upgrading": "upgrade notes",
    "reference-api": "API",
    "reference-metrics": "metrics",
    "faq": "FAQ, Docker, container, uninstall",
    "doctor": "doctor",
}


def entries(page: str) -> list[str]:
    """The main entries of a page's index, and its titles, in small letters."""
    text = (DOCS / f"{page}.rst").read_text()
    found = [title for title, _ in _TITLE.findall(text)]
    for line, block in _DIRECTIVE.findall(text):
        values = line.split(",") + re.findall(r"(?m)^   single:(.*)$", block)
        found += [value.strip()[1:] for value in values if value.strip().startswith("!")]
    return [entry.strip().lower() for entry in found]


@pytest.mark.parametrize("page", WANTED)
def test_the_words_lead_to_their_page(page: str) -> None:
    """An entry counts for the search if it contains the words, and is at most twice as long as they are."""
    there = entries(page)
    words = [word.strip() for word in WANTED[page].split(",")]
    lost = [word for word in words if not any(word.lower() in entry and len(word) * 2 >= len(entry) for entry in there)]
    assert lost == []
