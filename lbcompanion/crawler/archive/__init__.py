"""The archive: WARC records and the files that hold them."""
