"""HTTP/1.1 without I/O: heads, framing, field rules, content codings (RFC 9110, RFC 9112).

Strict on purpose: ambiguous messages are rejected, and every message is serialised again from its parsed form, so that
the visitor's side and the application's side never disagree about where a message ends.
"""
