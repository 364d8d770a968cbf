"""Decides which addresses belong to a site. Pages of other origins are not archived.

A page's address comes from its visitor's request (``Host``, ``X-Forwarded-Host``), unless the node has
``public_origin``. So an archive that took every address would show pages under names of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from lbcompanion.html.urls import origin_of, page_address
from lbcompanion.model import LossCode, LossReason, Notice
from lbcompanion.settings import SiteSettings

_MAX_SHOWN_ORIGIN_CHARS = 100


def site_origins(site: SiteSettings) -> frozenset[str]:
    """Return the origins of a site, as the URL Standard serialises them."""
    return _serialised((site.origin, *site.origins))


@lru_cache(64)
def _serialised(origins: tuple[str, ...]) -> frozenset[str]:
    return frozenset(map(origin_of, origins))


def archived_address(text: str, site: SiteSettings) -> str | LossReason:
    """Return the address under which a page is archived, or the reason why the page is lost.

    A page of an ``http`` address is of the ``https`` origin with the same host and port, if the site has that one only:
    the node does not see the visitor's scheme when the balancer does not send ``X-Forwarded-Proto``.

    :param text: the page's address as its node sent it.
    """
    address = page_address(text)
    if not address:
        return LossReason.of(LossCode.BAD_ADDRESS)
    origin, origins = origin_of(address), site_origins(site)
    if origin in origins:
        return address
    secure = f"https{address.removeprefix('http')}" if address.startswith("http:") else ""
    if secure and origin_of(secure) in origins:
        return secure
    return LossReason.of(LossCode.FOREIGN_ADDRESS, origin=origin[:_MAX_SHOWN_ORIGIN_CHARS], site=site.name)


def site_of_notice(notice: Notice, owner: str, sites: Mapping[str, SiteSettings]) -> str:
    """Return the name of the site that a notice belongs to.

    Its token names the node, with a signature; its addresses are what a visitor sent. So the sites that list the node
    are asked first, and an address only chooses among them. It is never fetched.

    :param owner: the node that the token names.
    :returns: empty if no site fits.
    """
    listing = {name: site for name, site in sites.items() if owner in site.nodes}
    candidates = listing or sites
    if len(candidates) == 1:
        return next(iter(candidates))
    for text in (notice.page_url, notice.url):
        for name, site in candidates.items():
            if text and not isinstance(archived_address(text, site), LossReason):
                return name
    return ""
