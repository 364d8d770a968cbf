"""A real browser, for the tests of this folder that need one."""

from tests.support.chromium import context, page, site

__all__ = ["context", "page", "site"]
