"""Several processes that are one node: roles, the supervisor, sockets between them, draining."""
