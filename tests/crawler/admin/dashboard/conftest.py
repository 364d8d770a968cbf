from tests.support.chromium import context, page, site
from tests.support.served_crawler import served_fixture

__all__ = ["context", "page", "served_fixture", "site"]
