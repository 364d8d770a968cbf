"""Runs the services: in the foreground, as a worker process, and under twistd."""
