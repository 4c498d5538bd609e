"""Linked machine code: loaded by copying it and filling in addresses, without LLVM.

A process that finds its kernels on disk then never loads LLVM's library, which alone takes longer
than everything else that a warm start does. Where this can't be done (`supported`), the kept
artefact is the object itself and LLVM's own linker loads it.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import struct
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

__all__ = ["PAGE", "Image", "MappedCode", "supported"]

PAGE = 4096
_MAGIC = b"functrace image 1\n"
_WORD = struct.Struct("<Q")
_HEADER = struct.Struct("<QQQ")

_forced_off = os.environ.get("FUNCTRACE_LLVM_LINKER", "") not in ("", "0")


def supported() -> bool:
    """Whether code can be linked and loaded by functrace itself here."""
    return not _forced_off and _known_platform()


@lru_cache(maxsize=1)
def _known_platform() -> bool:
    machine = platform.machine() in ("x86_64", "AMD64") and sys.maxsize > 1 << 32
    return machine and sys.platform == "linux" and mmap.PAGESIZE == PAGE


@dataclass(slots=True)
class Image:
    """Position-independent code and data, as they go into memory.

    Attributes:
        content: the bytes it begins with; the rest is zero.
        size: how much memory it takes.
        writable: where the part begins that stays writable; the code before it does not.
        entries: the offset of each function it exports.
        imports: the offsets of the words that hold the address of each function it calls.
        rebases: offset of a word -> the offset in the image that it points to.
    """

    content: bytes
    size: int
    writable: int
    entries: dict[str, int] = field(default_factory=dict)
    imports: dict[str, list[int]] = field(default_factory=dict)
    rebases: dict[int, int] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return it as one row of bytes."""
        lines = [f"entry {name} {at}" for name, at in self.entries.items()]
        lines += [f"import {name} {at}" for name, places in self.imports.items() for at in places]
        lines += [f"rebase {target} {at}" for at, target in self.rebases.items()]
        table = "\n".join(lines).encode()
        return _MAGIC + _HEADER.pack(len(table), self.size, self.writable) + table + self.content

    @staticmethod
    def is_one(data: bytes) -> bool:
        """Whether `to_bytes` made these bytes."""
        return data.startswith(_MAGIC)

    @classmethod
    def from_bytes(cls, data: bytes) -> Image:
        """Return what `to_bytes` made."""
        table_bytes, size, writable = _HEADER.unpack_from(data, len(_MAGIC))
        start = len(_MAGIC) + _HEADER.size
        image = cls(data[start + table_bytes :], size, writable)
        for line in data[start : start + table_bytes].decode().splitlines():
            kind, name, at = line.split()
            if kind == "entry":
                image.entries[name] = int(at)
            elif kind == "import":
                image.imports.setdefault(name, []).append(int(at))
            else:
                image.rebases[int(at)] = int(name)
        return image


class MappedCode:
    """An image in memory of its own, unmapped when the object goes.

    Attributes:
        base: the address it was loaded at.
    """

    __slots__ = ("_memory", "base")

    def __init__(self, image: Image, addresses: Mapping[str, int]) -> None:
        memory = mmap.mmap(
            -1,
            image.size,
            flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS,
            prot=mmap.PROT_READ | mmap.PROT_WRITE,
        )
        memory[: len(image.content)] = image.content
        base = ctypes.addressof(ctypes.c_char.from_buffer(memory))
        for name, places in image.imports.items():
            for at in places:
                _WORD.pack_into(memory, at, addresses[name])
        for at, target in image.rebases.items():
            _WORD.pack_into(memory, at, base + target)
        # Never writable and executable at once.
        if _mprotect()(base, image.writable, mmap.PROT_READ | mmap.PROT_EXEC):
            raise OSError(ctypes.get_errno(), "the system refuses to run code made at run time")
        self._memory = memory
        self.base = base


@lru_cache(maxsize=1)
def _mprotect() -> Any:
    function = ctypes.CDLL(None, use_errno=True).mprotect
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function
