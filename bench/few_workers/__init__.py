"""Bursts of requests for applications that have few workers, through the companion and through other proxies."""
