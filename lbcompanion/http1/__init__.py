"""HTTP/1.1 without I/O: heads, framing, field rules, content codings (RFC 9110, RFC 9112).

Strict on purpose: what can be read in more than one way is refused, and every message is written anew from what
was read, so that two parties in line never disagree about where a message ends.
"""
