"""HTML as bytes, without I/O: whether and where something is inserted, policies, charsets, and the copy that is kept.

No document is parsed into a tree and written again: the bytes of a page stay as they are.
"""
