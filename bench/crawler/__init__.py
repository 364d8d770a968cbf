"""The cost of one archived page for the crawler: CPU time, syncs, new connections, beside Scrapy at the same farm."""
