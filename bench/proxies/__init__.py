"""Programs of peers that are not programs of their own. Each runs as a process; none is imported by the bench."""
