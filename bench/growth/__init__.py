"""What grows with the number of idle connections, stored copies and rules: memory and CPU time of a node."""
