"""Keeps compiled objects: a bounded map in memory and a private, self-checking directory on disk.

Neither half knows what an object holds. A key is a hash of everything the bytes depend on, so an
entry is never stale; it is only ever absent, whole, or damaged, and a damaged one counts as absent.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import stat
import sys
import threading
import time
import warnings
from collections import OrderedDict
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

from functrace.config import config

__all__ = ["CacheInfo", "DiskCache", "MemoryCache", "default_directory", "templates"]

K = TypeVar("K")
T = TypeVar("T")

_MAGIC = b"functrace object 1\n"
_DIGEST = hashlib.sha256().digest_size
_SUFFIX = ".ftobj"
_PARTIAL = ".part"
#: A partial file this old (seconds) belongs to a writer that was killed.
_ABANDONED = 3600.0
#: Entries used within this time (seconds) keep their time stamp: a hit then costs no write.
_FRESH = 86400.0
#: The directory is measured once per this many writes.
_TRIM_EVERY = 64


class CacheInfo(NamedTuple):
    """What the kernel cache has done in this process, and what it holds.

    Attributes:
        hits: kernels found in memory.
        disk_hits: kernels loaded from the directory.
        compiled: kernels that had to be compiled.
        entries: kernels held in memory now.
        limit: most kernels held in memory.
        directory: where objects are kept, or None when the disk cache is off.
    """

    hits: int
    disk_hits: int
    compiled: int
    entries: int
    limit: int
    directory: str | None


class MemoryCache(Generic[K, T]):
    """The most recently used ``limit`` values, by key; safe to use from several threads."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._lock = threading.Lock()
        self._values: OrderedDict[K, T] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def keys(self) -> list[K]:
        """Return the keys, the least recently used first."""
        with self._lock:
            return list(self._values)

    def values(self) -> list[T]:
        """Return the values in the order of their keys."""
        with self._lock:
            return list(self._values.values())

    def get(self, key: K) -> T | None:
        """Return the value of ``key`` and mark it as just used, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: K, value: T) -> list[tuple[K, T]]:
        """Hold ``value``; return the least recently used ones, which the limit drops for it.

        They die in the caller's hands, outside of the lock: unloading code may take a while.
        """
        dropped = []
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            while len(self._values) > self.limit:
                dropped.append(self._values.popitem(last=False))
        return dropped

    def clear(self) -> None:
        """Drop every value."""
        with self._lock:
            values, self._values = self._values, OrderedDict()
        values.clear()


templates: MemoryCache[Any, Any] = MemoryCache(512)
"""What ``compiler.templates`` knows of groups that have been compiled, by their descriptions."""


def default_directory() -> Path:
    """Return the directory that ``config.cache_dir`` or the platform's custom asks for."""
    if config.cache_dir:
        return Path(config.cache_dir)
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA")
        return Path(base or Path.home() / "AppData" / "Local") / "functrace" / "cache"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "functrace"
    base = os.environ.get("XDG_CACHE_HOME")
    return Path(base or Path.home() / ".cache") / "functrace"


class DiskCache:
    """Objects in a directory that only this user can write.

    Nothing here raises: whatever is wrong with the directory, one warning says so and the cache
    is off for the rest of the process.
    """

    def __init__(self, root: Path, limit_bytes: int = 256 << 20) -> None:
        self.root = root
        self.limit_bytes = limit_bytes
        self._directory = root / "objects-1"
        self._usable: bool | None = None
        self._writes = 0

    @property
    def directory(self) -> Path | None:
        """The directory in use, or None when the cache is off."""
        return self._directory if self._ready() else None

    def get(self, key: str) -> bytes | None:
        """Return the object stored under ``key`` when it is there and undamaged."""
        if not self._ready():
            return None
        path = self._directory / (key + _SUFFIX)
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            self._off(f"cannot read {path}: {error}")
            return None
        start = len(_MAGIC) + _DIGEST
        payload = data[start:]
        if data[:start] != _MAGIC + hashlib.sha256(payload).digest():
            self._discard_damaged(path)
            return None
        self._touch(path)
        return payload

    def put(self, key: str, payload: bytes) -> None:
        """Store an object: written aside, then renamed, so that a reader sees all or nothing."""
        if not self._ready():
            return
        path = self._directory / (key + _SUFFIX)
        partial = self._directory / f"{key}.{os.getpid()}.{os.urandom(4).hex()}{_PARTIAL}"
        try:
            descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_MAGIC + hashlib.sha256(payload).digest() + payload)
            os.replace(partial, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            self._off(f"cannot write {path}: {error}")
            return
        if self._writes % _TRIM_EVERY == 0:
            self.trim()
        self._writes += 1

    def clear(self) -> None:
        """Remove every stored object."""
        if not self._ready():
            return
        for path in self._directory.iterdir():
            if path.suffix in (_SUFFIX, _PARTIAL):
                with contextlib.suppress(OSError):
                    path.unlink()

    def trim(self) -> None:
        """Remove what killed writers left, and the oldest objects beyond the size limit."""
        now = time.time()
        entries: list[tuple[float, int, str]] = []
        with contextlib.suppress(OSError), os.scandir(self._directory) as listing:
            for item in listing:
                with contextlib.suppress(OSError):
                    status = item.stat()
                    if item.name.endswith(_SUFFIX):
                        entries.append((status.st_mtime, status.st_size, item.path))
                    elif item.name.endswith(_PARTIAL) and now - status.st_mtime > _ABANDONED:
                        os.unlink(item.path)
        total = sum(size for _, size, _ in entries)
        if total <= self.limit_bytes:
            return
        # Down to three quarters, so that the next few writes need no trimming.
        for _, size, name in sorted(entries):
            if total <= self.limit_bytes * 3 // 4:
                break
            with contextlib.suppress(OSError):
                os.unlink(name)
            total -= size

    def _ready(self) -> bool:
        if self._usable is None:
            self._usable = self._prepare()
        return self._usable

    def _prepare(self) -> bool:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self._directory.mkdir(mode=0o700)
            problem = _distrust(self.root) or _distrust(self._directory)
        except OSError as error:
            problem = f"cannot create {self._directory}: {error}"
        if problem:
            self._off(problem)
        return not problem

    def _off(self, problem: str) -> None:
        first = self._usable is not False
        self._usable = False
        if first:
            warnings.warn(
                f"functrace keeps no compiled kernels on disk: {problem}. Kernels are compiled "
                "again in each process. Try: point FUNCTRACE_CACHE_DIR at a directory of your own.",
                RuntimeWarning,
                stacklevel=2,
            )

    def _discard_damaged(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            path.unlink()
        warnings.warn(
            f"functrace found a damaged kernel in its cache and compiles it again: {path}",
            RuntimeWarning,
            stacklevel=2,
        )

    def _touch(self, path: Path) -> None:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _FRESH:
                os.utime(path)


def _distrust(path: Path) -> str | None:
    """Say why code from ``path`` must not be run, or None: only this user may write there."""
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        # A link at the root is the user's own affair; inside of it nobody else could make one.
        status = os.stat(path)
        if not stat.S_ISDIR(status.st_mode):
            return f"{path} is not a directory"
    if not hasattr(os, "geteuid"):
        return None
    if status.st_uid != os.geteuid():
        return f"{path} belongs to another user"
    if status.st_mode & 0o022:
        return f"{path} is writable by others"
    return None
