"""Knowledge of load balancers, without I/O: routing cookies, dialects, and the ladder of routes to a node."""
