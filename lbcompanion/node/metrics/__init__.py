"""A node's counters, the snapshot of its state, and the admin listener."""
