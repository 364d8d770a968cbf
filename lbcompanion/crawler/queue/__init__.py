"""The queue of notices and what is known of each: SQLite tables, states, outcomes."""
