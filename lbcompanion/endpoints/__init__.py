"""Where to listen and connect: endpoint strings as Twisted has them, and the certificates that they name."""
