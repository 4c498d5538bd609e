"""Settings of the library, read from the environment once and changed through ``config``."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

__all__ = ["Config", "config", "on_change"]

_listeners: dict[str, list[Callable[[], None]]] = {}


def on_change(name: str, listener: Callable[[], None]) -> None:
    """Have ``listener`` called, for the life of the process, after a setting takes a new value."""
    _listeners.setdefault(name, []).append(listener)


def _flag(name: str, default: bool) -> bool:
    value = os.environ.get(name)
    if value is None:
        return default
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def _optional_int(name: str) -> int | None:
    value = os.environ.get(name, "").strip()
    return int(value) if value else None


@dataclass
class Config:
    """The library's settings; ``with config.override(checks=True): ...`` changes some for a while.

    Attributes:
        checks: check every jaxpr and plan a transformation makes (``FUNCTRACE_CHECKS``).
        disable_jit: run jitted functions as Python (``FUNCTRACE_DISABLE_JIT``).
        debug_nans: raise where a NaN is made, with the line (``FUNCTRACE_DEBUG_NANS``). Results of
            jitted functions are looked at; what NumPy computes of plain arrays isn't.
        full_tracebacks: keep functrace's own frames (``FUNCTRACE_FULL_TRACEBACKS``).
        threads: most threads a program may use; None is every CPU the process may run on
            (``FUNCTRACE_THREADS``). Programs follow a change at once; their bits never do.
        flush_subnormals: let compiled programs take numbers nearer to zero than the smallest normal
            one (1.2e-38 in float32, 2.2e-308 in float64) for zero, as JAX's always do; on CPUs
            where arithmetic on them is slow, training in float32 gains from it. False keeps NumPy's
            results. Programs follow a change at once (``FUNCTRACE_FLUSH_SUBNORMALS``).
        backend: ``"llvm"`` emits kernels directly; ``"numba"`` compiles their printed Numba
            source instead; ``"python"`` runs that source as it stands (``FUNCTRACE_BACKEND``).
        cache_dir: where compiled kernels are kept; None is the user's cache directory
            (``FUNCTRACE_CACHE_DIR``).
        log_compiles: print a line for each program that is compiled (``FUNCTRACE_LOG_COMPILES``).
        explain_cache_misses: print why a jitted function is traced
            (``FUNCTRACE_EXPLAIN_CACHE_MISSES``).

    Example:
        >>> from functrace.config import config
        >>> with config.override(disable_jit=True):
        ...     config.disable_jit
        True
    """

    checks: bool = False
    disable_jit: bool = False
    debug_nans: bool = False
    full_tracebacks: bool = False
    threads: int | None = None
    flush_subnormals: bool = False
    backend: str = "llvm"
    cache_dir: str | None = None
    log_compiles: bool = False
    explain_cache_misses: bool = False

    @classmethod
    def from_environment(cls) -> Config:
        """Return the settings that the environment variables ask for."""
        return cls(
            checks=_flag("FUNCTRACE_CHECKS", False),
            disable_jit=_flag("FUNCTRACE_DISABLE_JIT", False),
            debug_nans=_flag("FUNCTRACE_DEBUG_NANS", False),
            full_tracebacks=_flag("FUNCTRACE_FULL_TRACEBACKS", False),
            threads=_optional_int("FUNCTRACE_THREADS"),
            flush_subnormals=_flag("FUNCTRACE_FLUSH_SUBNORMALS", False),
            backend=os.environ.get("FUNCTRACE_BACKEND", "llvm"),
            cache_dir=os.environ.get("FUNCTRACE_CACHE_DIR") or None,
            log_compiles=_flag("FUNCTRACE_LOG_COMPILES", False),
            explain_cache_misses=_flag("FUNCTRACE_EXPLAIN_CACHE_MISSES", False),
        )

    def update(self, name: str, value: object) -> None:
        """Set one setting by name.

        Of JAX's own names ``jax_disable_jit`` and ``jax_debug_nans`` mean the settings of that
        name; others (``jax_enable_x64``, ...) change nothing.
        """
        if name in ("jax_disable_jit", "jax_debug_nans"):
            name = name.removeprefix("jax_")
        if name.startswith("jax_"):
            return
        setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in (known := [f.name for f in fields(self)]):
            raise AttributeError(f"config has no setting {name!r}. Try: one of {', '.join(known)}.")
        changed = getattr(self, name) != value
        object.__setattr__(self, name, value)
        for listener in _listeners.get(name, ()) if changed else ():
            listener()

    @contextlib.contextmanager
    def override(self, **settings: Any) -> Iterator[Config]:
        """Change some settings inside a ``with`` block."""
        saved = replace(self)
        for name, value in settings.items():
            self.update(name, value)
        try:
            yield self
        finally:
            for f in fields(self):
                setattr(self, f.name, getattr(saved, f.name))


config = Config.from_environment()
