"""Sends outcomes to webhooks."""
