"""The crawl: notices taken in, scheduled, fetched by the ladder, their files fetched, routes refreshed."""
