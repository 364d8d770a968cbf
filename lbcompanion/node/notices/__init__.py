"""Notices: received from browsers, written to the spool, sent to the crawler."""
