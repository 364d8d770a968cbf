"""Recorded pages, shown from the archive alone: rewriting, and where their files are."""
