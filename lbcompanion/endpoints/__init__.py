"""Twisted's endpoint strings, and the certificates that they name."""
