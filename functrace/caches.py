"""What compiled programs keep: kernels by content, and memory for the next results."""

from __future__ import annotations

from functrace.compiler.runtime import build, driver
from functrace.compiler.runtime.cache import CacheInfo
from functrace.control.loops.bodies import forget_bodies

__all__ = ["cache_info", "clear_caches"]


def cache_info() -> CacheInfo:
    """Return what the kernel cache has done in this process, and what it holds.

    Returns:
        A named tuple: ``hits`` in memory, ``disk_hits``, kernels ``compiled``, ``entries`` held
        now and their ``limit``, and the ``directory`` (None when nothing is kept on disk).

    Example:
        >>> from functrace import cache_info
        >>> cache_info().limit
        512
    """
    return build.cache_info()


def clear_caches(disk: bool = False) -> None:
    """Forget every kernel that no live program uses, reset the counts, give spare memory back.

    Jitted functions keep their own traces and programs; ``f.clear_cache()`` drops those of one.
    The bodies of loops that were called outside of ``jit`` are forgotten here.

    Args:
        disk: also remove the kernels kept on disk for this and other processes.

    Example:
        >>> from functrace import cache_info, clear_caches
        >>> clear_caches()
        >>> cache_info().entries
        0
    """
    forget_bodies()
    build.clear_caches(disk)
    driver.free_memory()
