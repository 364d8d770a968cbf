"""The queue of notices, with their states, attempts and outcomes, in SQLite tables."""
