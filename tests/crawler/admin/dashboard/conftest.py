from tests.support.chromium import context, page, site

__all__ = ["context", "page", "site"]
