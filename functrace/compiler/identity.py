"""What makes two programs the same: a digest of a jaxpr and of everything that compiles it.

Only plain data has an identity. A jaxpr that holds a function of the user's, or a primitive that
is not functrace's own, has none: nothing tells whether another process means the same by it.
"""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from functrace.compiler.runtime.blas import wheel_library
from functrace.compiler.runtime.build import fingerprint
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Atom, ClosedJaxpr, Jaxpr, JaxprEqn, Literal, Var
from functrace.core.lowering import Nested
from functrace.core.trace import Primitive

__all__ = ["NotPlainError", "program_identity"]

#: Reading more than this many bytes of constants takes longer than planning a program does.
_MOST_CONSTANTS = 1 << 20


class NotPlainError(Exception):
    """Something has no identity beyond this process."""


def program_identity(closed: ClosedJaxpr, donated: Sequence[tuple[int, int]] = ()) -> str:
    """Return a digest: equal ones mean the same program, in any process.

    ``donated`` are inputs with the results that may be written over them.

    Raises:
        NotPlainError: the jaxpr holds more than plain data.
    """
    digest = hashlib.sha256(_compiler_identity())
    digest.update("\n".join([*_Writer().closed(closed), repr(tuple(donated))]).encode())
    return digest.hexdigest()


@lru_cache(maxsize=1)
def _compiler_identity() -> bytes:
    """Return what stands for this very compiler: its sources' sizes and times, and its libraries.

    The time of a file is enough: what matters is that an edited one is never taken for the old.
    """
    stamps = sorted(_stamps(str(Path(__file__).parent.parent)))
    blas = f"{os.environ.get('FUNCTRACE_BLAS', '')} {wheel_library()}"
    return b"program 1\0" + fingerprint() + "\0".join([blas, *stamps]).encode() + b"\0"


def _stamps(folder: str) -> Iterator[str]:
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.endswith(".py"):
                    status = entry.stat()
                    yield f"{entry.path} {status.st_size} {status.st_mtime_ns}"
                elif entry.is_dir() and entry.name != "__pycache__":
                    yield from _stamps(entry.path)
    except OSError as error:
        raise NotPlainError(f"the sources can't be read: {error}") from None


class _Writer:
    """Writes a jaxpr down: variables by number, equations in order, constants by digest."""

    def __init__(self) -> None:
        self.numbers: dict[Var, int] = {}
        self.lines: list[str] = []
        self.own: set[Primitive] = set()
        self.constant_bytes = 0

    def closed(self, closed: ClosedJaxpr) -> list[str]:
        self.jaxpr(closed.jaxpr)
        for const in closed.consts:
            self.lines.append(self.array(np.asarray(const)))
        return self.lines

    def jaxpr(self, jaxpr: Jaxpr) -> list[str]:
        self.lines += [f"{self.define(v)} const" for v in jaxpr.constvars]
        self.lines += [f"{self.define(v)} in" for v in jaxpr.invars]
        for eqn in jaxpr.eqns:
            self.equation(eqn)
        self.lines.append(f"return {' '.join(map(self.atom, jaxpr.outvars))}")
        return self.lines

    def equation(self, eqn: JaxprEqn) -> None:
        primitive = eqn.primitive
        if primitive not in self.own:
            if not _is_own(primitive):
                raise NotPlainError(f"{primitive.name} is not functrace's own")
            self.own.add(primitive)
        params = eqn.params
        if isinstance(primitive.lowering, Nested):  # names and the like don't matter
            params = {"jaxpr": params[primitive.lowering.jaxpr]}
        ins = " ".join(map(self.atom, eqn.invars))
        given = " ".join([f"{k}={self.value(params[k])}" for k in sorted(params)])
        outs = " ".join(map(self.define, eqn.outvars))
        self.lines.append(f"{outs} = {primitive.name} {ins} [{given}]")

    def define(self, var: Var) -> str:
        number = self.numbers[var] = len(self.numbers)
        return f"{number}:{_type(var.aval)}"

    def atom(self, atom: Atom) -> str:
        if isinstance(atom, Literal):
            return f"{self.value(atom.val)}:{_type(atom.aval)}"
        return str(self.numbers[atom])

    def value(self, value: Any) -> str:
        """Return the text of a parameter or a literal."""
        kind = type(value)
        if kind in (int, bool, str, type(None)):
            return repr(value)
        if kind is tuple or kind is list:
            return f"({','.join(map(self.value, value))})"
        if kind in (float, complex):
            return self.array(np.asarray(value))
        if isinstance(value, np.dtype):
            return f"dtype {value.str}{value.char}"
        if isinstance(value, (np.generic, np.ndarray)):
            return self.array(np.asarray(value))
        return self.thing(value)

    def thing(self, value: Any) -> str:
        """Return the text of a rarer one."""
        kind = type(value)
        name = f"{kind.__module__}.{kind.__qualname__}"
        if isinstance(value, (ClosedJaxpr, Jaxpr)):
            inner = _Writer()
            lines = inner.closed(value) if isinstance(value, ClosedJaxpr) else inner.jaxpr(value)
            self.count(inner.constant_bytes)
            return "{" + "\n".join(lines) + "}"
        if isinstance(value, ShapedArray):
            return _type(value)
        if isinstance(value, type) and value.__module__ in ("numpy", "builtins"):
            return f"{value.__module__}.{value.__qualname__}"
        if not kind.__module__.startswith("functrace."):
            raise NotPlainError(f"{value!r} is not plain data")
        if isinstance(value, enum.Enum):
            return f"{name}.{value.name}"
        if isinstance(value, tuple):
            return f"{name}({','.join(map(self.value, value))})"
        if dataclasses.is_dataclass(value):
            fields = (getattr(value, f.name) for f in dataclasses.fields(value))
            return f"{name}({','.join(map(self.value, fields))})"
        raise NotPlainError(f"{value!r} is not plain data")

    def array(self, array: np.ndarray[Any, Any]) -> str:
        if array.dtype.hasobject:
            raise NotPlainError("an array of objects is not plain data")
        self.count(array.nbytes)
        content = array.tobytes()
        text = content.hex() if len(content) <= 16 else hashlib.sha256(content).hexdigest()
        return f"{array.dtype.str}{array.shape}{text}"

    def count(self, size: int) -> None:
        self.constant_bytes += size
        if self.constant_bytes > _MOST_CONSTANTS:
            raise NotPlainError("its constants are large")


def _type(aval: ShapedArray) -> str:
    # The character too: C's long and long long are two dtypes of one size.
    dtype = aval.dtype
    return f"{dtype.str}{dtype.char}{aval.shape}{'w' if aval.weak_type else ''}"


_own: WeakKeyDictionary[Primitive, tuple[Any, bool]] = WeakKeyDictionary()


def _is_own(primitive: Primitive) -> bool:
    """Whether every function behind a primitive's lowering is functrace's."""
    known = _own.get(primitive)
    if known is None or known[0] is not primitive.lowering:
        lowering = primitive.lowering
        plain = dataclasses.is_dataclass(lowering) and all(
            _is_own_part(getattr(lowering, f.name)) for f in dataclasses.fields(lowering)
        )
        known = _own[primitive] = (lowering, plain)
    return known[1]


def _is_own_part(part: Callable[..., Any] | str | None) -> bool:
    if part is None or isinstance(part, str):
        return True
    return str(getattr(part, "__module__", "")).startswith("functrace.")
