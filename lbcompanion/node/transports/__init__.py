"""The proxy's connections on real sockets: asyncio's loop, Twisted's reactors, listening, the memory allocator."""
