"""Tunes glibc's malloc for large read buffers.

A fast body is read in pieces of up to 512 KiB, each in a new buffer. By default glibc returns a freed buffer of this
size to the kernel and maps it again at the next read, which costs as much as all other work for a streamed body. With
both thresholds raised, freed memory is kept and reused (mallopt(3)). What a burst of requests left is returned to the
kernel by and by (malloc_trim(3)).
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache

# Parameters of mallopt(3), from <malloc.h> of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
# The maximum of M_MMAP_THRESHOLD on 64 bits.
_BYTES = 32 * 1024 * 1024
#: How often :func:`return_freed_memory` is called at most; it takes 0.15 ms per MiB that was freed in small pieces.
RETURN_MEMORY_SECONDS = 30
# What return_freed_memory leaves at the end of the heap.
_KEPT_BYTES = 4 * 1024 * 1024


def raise_malloc_thresholds() -> bool:
    """Keep freed memory in the process: buffers up to 32 MiB, and up to 64 MiB at the end of the heap.

    :returns: whether the C library accepted both values; False without glibc.
    """
    mallopt = _function("mallopt")
    return bool(mallopt and mallopt(_M_MMAP_THRESHOLD, _BYTES) and mallopt(_M_TRIM_THRESHOLD, 2 * _BYTES))


def return_freed_memory() -> bool:
    """Return freed memory to the kernel, except a few MiB for the next requests.

    Without this, the memory of the largest burst stays in the process: small objects that live on keep the end of the
    heap in use.

    :returns: whether any memory was returned; False without glibc.
    """
    trim = _function("malloc_trim")
    return bool(trim and trim(ctypes.c_size_t(_KEPT_BYTES)))


@cache
def _function(name: str) -> Callable[..., int] | None:
    """A function of the C library, if it has it."""
    try:
        found: Callable[..., int] = getattr(ctypes.CDLL(None), name)
    except (OSError, AttributeError):
        return None
    return found
