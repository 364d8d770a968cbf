"""What one archived page costs the crawler: CPU time, syncs, new connections, beside Scrapy at the same farm."""
