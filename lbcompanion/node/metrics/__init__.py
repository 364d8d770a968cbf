"""What a node counts and reports: counters, a snapshot of its state, the admin listener."""
