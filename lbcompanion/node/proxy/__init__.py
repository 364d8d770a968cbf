"""The reverse proxy: a visitor's connection, one exchange at a time, and connections to the application. No I/O."""
