"""What this CPU can do."""

from __future__ import annotations

import contextlib
import platform
import re
from functools import lru_cache

__all__ = ["has_feature", "wide_vectors"]


@lru_cache(maxsize=16)
def has_feature(name: str) -> bool:
    """Whether this CPU has a feature, by LLVM's name; where Linux says so LLVM isn't loaded."""
    with contextlib.suppress(OSError), open("/proc/cpuinfo", encoding="utf-8") as file:
        found = re.search(r"^flags\s*:(.*)$", file.read(1 << 14), re.MULTILINE)
        if found:
            return name in found.group(1).split()
    import llvmlite.binding as llvm

    return bool(llvm.get_host_cpu_features().get(name, False))


@lru_cache(maxsize=1)
def wide_vectors() -> bool:
    """Whether this CPU has x86's vectors of 512 bits."""
    return platform.machine() in ("x86_64", "AMD64") and has_feature("avx512f")
