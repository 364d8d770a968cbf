"""Scrapy at the same pages: ``python spider.py ORIGIN PAGES CONCURRENCY [ARCHIVE]`` prints what they cost as JSON.

Runs in an environment of Scrapy's own and imports nothing of this project. The first pages warm it up and do not
count; nor does the WACZ file, which scrapy-webarchive makes of the WARC file at the end.
"""

from __future__ import annotations

import json
import sys
import time

import scrapy
from scrapy import signals
from scrapy.crawler import CrawlerProcess

ORIGIN, PAGES, CONCURRENCY = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
ARCHIVE = sys.argv[4] if len(sys.argv) > 4 else ""
WARM = min(200, PAGES // 3)


class Spider(scrapy.Spider):
    """Asks for pages whose URLs are ready, and reads their bytes."""

    name = "bench"
    start_urls = (*(f"{ORIGIN}/account/page?n={number}" for number in range(PAGES)),)

    @classmethod
    def from_crawler(cls, crawler, *args, **kwargs):
        """Measure until no request is left."""
        spider = super().from_crawler(crawler, *args, **kwargs)
        crawler.signals.connect(spider.on_idle, signal=signals.spider_idle)
        spider.seen, spider.found = 0, {}
        return spider

    def parse(self, response):
        """Count a page."""
        if len(response.body) == 10240:
            self.seen += 1
        if self.seen == WARM:
            self.begun = time.process_time(), time.monotonic()

    def on_idle(self):
        """Take the figures."""
        if not self.found:
            cpu, wall = time.process_time() - self.begun[0], time.monotonic() - self.begun[1]
            self.found.update(pages=self.seen, cpu_us=1e6 * cpu / (PAGES - WARM), per_second=(PAGES - WARM) / wall)
            print(json.dumps({**self.found, "version": scrapy.__version__}), flush=True)


def main() -> None:
    """Run the spider."""
    settings = {
        "CONCURRENT_REQUESTS": CONCURRENCY,
        "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
        "LOG_LEVEL": "ERROR",
        "DOWNLOAD_DELAY": 0,
        "ROBOTSTXT_OBEY": False,
        "TELNETCONSOLE_ENABLED": False,
    }
    if ARCHIVE:
        settings |= {
            "EXTENSIONS": {"scrapy_webarchive.extensions.WaczExporter": 543},
            "SW_EXPORT_URI": f"{ARCHIVE}/",
        }
    process = CrawlerProcess(settings)
    process.crawl(Spider)
    process.start()


if __name__ == "__main__":
    main()
