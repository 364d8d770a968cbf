"""The access to the admin listener: users, passwords, tokens, sessions, and the pace of log-ins."""
