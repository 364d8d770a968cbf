"""Erasing recordings: their rows, and their records in the archive; and retention, which erases the oldest ones."""
