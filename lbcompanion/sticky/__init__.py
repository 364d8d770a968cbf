"""What is known of balancers, without I/O: cookies, dialects, and the rungs by which a fetch reaches its node."""
