"""Turns the LLVM text of a kernel into loaded machine code, by way of the caches.

    text -> key -> (in memory? on disk? else parse, verify, optimise, emit, link) -> load -> address

What is kept is a linked image where functrace can link and load one itself (`image`, `elf`), else
the object, which LLVM's linker loads. Each kernel is a module of its own: a batch saves about a
millisecond a kernel, but then one changed kernel would compile all of its neighbours again.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import importlib.util
import itertools
import os
import platform
import re
import sys
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from functrace.compiler.runtime.cache import (
    CacheInfo,
    DiskCache,
    MemoryCache,
    default_directory,
    templates,
)
from functrace.compiler.runtime.elf import LinkError, link
from functrace.compiler.runtime.image import Image, MappedCode, supported
from functrace.compiler.runtime.machine import (
    RECIPE,
    BuildError,
    compile_module,
    in_parallel,
    initialize,
)

__all__ = [
    "BuildError",
    "Module",
    "NativeCode",
    "build",
    "build_all",
    "cache_info",
    "clear_caches",
    "disk_cache",
    "fingerprint",
    "process_symbol",
]

Symbols = Mapping[str, int]

#: What no live program uses can be had from disk again, in a tenth of a millisecond.
_MEMORY_LIMIT = 512

_LIBM = [
    "sin",
    "cos",
    "tan",
    "asin",
    "acos",
    "atan",
    "atan2",
    "sinh",
    "cosh",
    "tanh",
    "asinh",
    "acosh",
    "atanh",
    "exp",
    "exp2",
    "expm1",
    "log",
    "log2",
    "log10",
    "log1p",
    "pow",
    "cbrt",
    "hypot",
    "erf",
    "erfc",
    "tgamma",
    "lgamma",
    "floor",
    "ceil",
    "trunc",
    "rint",
    "round",
    "nearbyint",
    "fmod",
    "remainder",
    "copysign",
    "nextafter",
    "ldexp",
    "fma",
    "sqrt",
    "fabs",
    "fmin",
    "fmax",
]
#: What a kernel may call by name without asking: nothing here allocates, does I/O or locks.
_ALLOWED = frozenset(_LIBM) | {name + "f" for name in _LIBM} | {"memcpy", "memmove", "memset"}
#: What LLVM itself may call in the place of an instruction.
_ALWAYS = ("memcpy", "memmove", "memset", "fmod", "fmodf")
_RUNTIME = [
    "__extendhfsf2",
    "__truncsfhf2",
    "__truncdfhf2",
    "__divti3",
    "__udivti3",
    "__modti3",
    "__umodti3",
    "__multi3",
]

_DECLARED = re.compile(r'^\s*declare\b[^@\n]*@"?([\w.$]+)"?\s*\(', re.MULTILINE)
_EXTERNAL = re.compile(r"^@([\w.$]+) = external\b", re.MULTILINE)
_INTRINSIC = re.compile(r"@llvm\.(\w+)\.(?:v\d+)?(f32|f64)\b")


class NativeCode:
    """Loaded code: the addresses of its entry points, valid for as long as this object lives."""

    __slots__ = ("__weakref__", "_library", "addresses", "key")

    def __init__(self, key: str, addresses: dict[str, int], library: object) -> None:
        self.key = key
        self.addresses = addresses
        self._library = library

    @property
    def address(self) -> int:
        """The address of the only entry point."""
        (address,) = self.addresses.values()
        return address


class Module(NamedTuple):
    """A module of LLVM text to be built; see `build` for what it holds."""

    text: str
    entries: tuple[str, ...] = ("kernel",)
    symbols: Callable[[], Symbols] | None = None


class _Counters:
    def __init__(self) -> None:
        self.hits = self.disk_hits = self.compiled = 0


# One lock for all of it: two threads that want the same kernel should compile it once. It is held
# across fork, so no child inherits it locked, nor LLVM in the middle of something.
_lock = threading.RLock()
_memory: MemoryCache[str, NativeCode] = MemoryCache(_MEMORY_LIMIT)
#: Code that some program still holds is found again even after the bounded map let go of it.
_alive: weakref.WeakValueDictionary[str, NativeCode] = weakref.WeakValueDictionary()
_counters = _Counters()
_disks: dict[str, DiskCache] = {}
_serial = itertools.count()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_lock.acquire, after_in_parent=_lock.release, after_in_child=_lock.release
    )


def build(
    text: str,
    entries: Iterable[str] = ("kernel",),
    symbols: Callable[[], Symbols] | None = None,
    *,
    forever: bool = False,
) -> NativeCode:
    """Return loaded code for a module of LLVM text.

    Args:
        text: a whole module. It may declare libm functions, LLVM intrinsics and ``symbols``.
        entries: the functions of the module to give addresses of.
        symbols: called for the addresses of further external names the text may declare.
        forever: keep the code loaded until the process ends, whoever lets go of it.

    Returns:
        The code; dropping the last reference to it unloads it.

    Raises:
        BuildError: the text does not parse or verify, or names a function it may not call.
    """
    (code,) = build_all([Module(text, tuple(entries), symbols)], forever=forever)
    return code


def build_all(modules: Sequence[Module], *, forever: bool = False) -> list[NativeCode]:
    """Return the loaded code of each module; those that are missing are compiled at once."""
    with _lock:
        keys = [_key(module.text, module.entries) for module in modules]
        found: dict[str, NativeCode] = {}
        missing: dict[str, Module] = {}
        for key, module in zip(keys, modules):
            code = _memory.get(key) or _alive.get(key)
            if code is not None:
                _counters.hits += 1
                found[key] = code
            elif key not in found:
                missing[key] = module
        for key, code in _made(missing, forever):
            _memory.put(key, code)
            _alive[key] = found[key] = code
        return [found[key] for key in keys]


def _made(missing: Mapping[str, Module], forever: bool) -> Iterator[tuple[str, NativeCode]]:
    """Yield code that is not in memory: from disk, or compiled."""
    disk = disk_cache()
    symbols = {key: module.symbols() if module.symbols else {} for key, module in missing.items()}
    found = {key: disk.get(key) for key in missing}
    kept = {key: data for key, data in found.items() if data is not None}
    new = [key for key in missing if key not in kept]
    for key in new:
        _check_names(missing[key].text, symbols[key])
    for key, data in zip(new, in_parallel(_linked, [missing[key].text for key in new])):
        kept[key] = data
        disk.put(key, data)
    _counters.compiled += len(new)
    _counters.disk_hits += len(missing) - len(new)
    for key, module in missing.items():
        yield key, _load(key, kept[key], module, symbols[key], forever)


def cache_info() -> CacheInfo:
    """Return what the kernel cache has done in this process, and what it holds.

    Example:
        >>> from functrace.compiler.runtime.build import cache_info
        >>> cache_info().limit
        512
    """
    directory = disk_cache().directory
    return CacheInfo(
        _counters.hits,
        _counters.disk_hits,
        _counters.compiled,
        len(_memory),
        _memory.limit,
        None if directory is None else str(directory),
    )


def clear_caches(disk: bool = False) -> None:
    """Forget every compiled kernel that no program uses, and reset the counts.

    Args:
        disk: also remove the kernels kept on disk for this and other processes.
    """
    templates.clear()
    with _lock:
        _memory.clear()
        _alive.clear()
        _counters.__init__()  # type: ignore[misc]
        if disk:
            disk_cache().clear()


def process_symbol(name: str) -> int | None:
    """Return the address of a C function of this process, or None."""
    for library in _c_libraries():
        try:
            function = getattr(library, name)
        except AttributeError:
            continue
        return ctypes.cast(function, ctypes.c_void_p).value
    return None


@lru_cache(maxsize=1)
def _c_libraries() -> list[ctypes.CDLL]:
    if sys.platform == "win32":
        return [ctypes.CDLL("ucrtbase")]
    found = [ctypes.CDLL(None)]
    for name in ("libm.so.6", "libgcc_s.so.1") if sys.platform == "linux" else ():
        try:
            found.append(ctypes.CDLL(name))
        except OSError:
            continue
    return found


def disk_cache() -> DiskCache:
    """Return what keeps objects and programs on disk now."""
    root = default_directory()
    return _disks.setdefault(str(root), DiskCache(root))


def _key(text: str, entries: tuple[str, ...]) -> str:
    digest = hashlib.sha256(fingerprint())
    digest.update("\0".join((*entries, text)).encode())
    return digest.hexdigest()


def fingerprint() -> bytes:
    """Return what the machine code depends on besides the text."""
    return _fingerprint(supported())


@lru_cache(maxsize=2)
def _fingerprint(images: bool) -> bytes:
    compiler = _compiler_here() if images else None
    if compiler is None:
        import llvmlite
        import llvmlite.binding as llvm

        compiler = (
            f"llvmlite {llvmlite.__version__} {llvm.llvm_version_info}",
            llvm.get_process_triple(),
            llvm.get_host_cpu_name(),
            llvm.get_host_cpu_features().flatten(),
        )
    parts = (RECIPE, "image" if images else "object", f"numpy {np.__version__}", *compiler)
    return "\0".join(parts).encode() + b"\0"


def _compiler_here() -> tuple[str, ...] | None:
    """Return what tells LLVM's library and this CPU from others, without loading the library.

    The library is known by its file's size and time, the CPU by what Linux says of its first core.
    """
    spec = importlib.util.find_spec("llvmlite")
    if spec is None or spec.origin is None:
        return None
    try:
        libraries = [os.stat(f) for f in Path(spec.origin).parent.glob("binding/*llvmlite*")]
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            cpu = file.read(1 << 14).split("\n\n", 1)[0]
    except OSError:
        return None
    stamps = [f"{status.st_size} {status.st_mtime_ns}" for status in libraries]
    varying = ("processor", "cpu MHz", "physical id", "core id", "apicid", "initial apicid")
    lines = [x for x in cpu.splitlines() if not x.startswith((*varying, "bogomips", "siblings"))]
    return (*stamps, platform.machine(), *lines) if stamps else None


@lru_cache(maxsize=1)
def _linker() -> Any:
    """The one LLJIT; never disposed of, since a thread may still run its code at exit."""
    import llvmlite.binding as llvm

    initialize()
    linker = llvm.create_lljit_compiler(suppress_errors=True)
    _keep_forever(linker)
    return linker


def _keep_forever(thing: object) -> None:
    """Add a reference that nothing gives back, so that not even the interpreter's end frees it."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _linked(text: str) -> bytes:
    """Return what is kept of a module: its image, or its object where there can't be one."""
    data = compile_module(text)
    if supported():
        with contextlib.suppress(LinkError):
            return link(data).to_bytes()
    return data


def _declared(text: str) -> list[str]:
    found = [name for name in _DECLARED.findall(text) if not name.startswith("llvm.")]
    return found + _EXTERNAL.findall(text)


def _check_names(text: str, own: Symbols) -> None:
    """Raise if the text declares a function that it may not call."""
    refused = sorted(n for n in _declared(text) if n not in own and n not in _ALLOWED)
    if refused:
        raise BuildError(f"a kernel may not call {', '.join(refused)}: not on the list of names")


def _imports(text: str, own: Symbols) -> dict[str, int]:
    """Return the address of each external name that ``text`` may end up calling."""
    wanted = {*_ALWAYS, *_declared(text)}
    for name, kind in _INTRINSIC.findall(text):
        wanted.add(name if kind == "f64" else name + "f")
    if "half" in text or "i128" in text:
        wanted.update(_RUNTIME)
    return _addresses(sorted(wanted), own)


def _addresses(names: Iterable[str], own: Symbols) -> dict[str, int]:
    """Return the addresses of those names that exist."""
    found: dict[str, int] = {}
    for name in names:
        address = own[name] if name in own else _known(name)
        if address:
            found[name] = address
    return found


@lru_cache(maxsize=512)
def _known(name: str) -> int | None:
    return process_symbol(name) if name in _ALLOWED or name in _RUNTIME else None


def _load(key: str, kept: bytes, module: Module, own: Symbols, forever: bool) -> NativeCode:
    if Image.is_one(kept):
        addresses, library = _load_image(Image.from_bytes(kept), module.entries, own)
    else:
        imports = _imports(module.text, own)
        addresses, library = _load_object(kept, module.entries, imports)
    if forever:
        _keep_forever(library)
    return NativeCode(key, addresses, library)


def _load_image(
    image: Image, entries: tuple[str, ...], own: Symbols
) -> tuple[dict[str, int], object]:
    imports = _addresses(image.imports, own)
    missing = [*(image.imports.keys() - imports.keys()), *(set(entries) - image.entries.keys())]
    if missing:
        raise BuildError(f"a kernel does not link: no {', '.join(sorted(missing))}")
    code = MappedCode(image, imports)
    return {name: code.base + image.entries[name] for name in entries}, code


def _load_object(
    data: bytes, entries: tuple[str, ...], imports: Symbols
) -> tuple[dict[str, int], object]:
    import llvmlite.binding as llvm

    builder = llvm.JITLibraryBuilder().add_object_img(data)
    for name, address in imports.items():
        builder.import_symbol(name, address)
    for name in entries:
        builder.export_symbol(name)
    try:
        library = builder.link(_linker(), f"functrace{next(_serial)}")
    except RuntimeError as error:
        raise BuildError(f"a kernel does not link: {error}") from None
    return {name: int(library[name]) for name in entries}, library
