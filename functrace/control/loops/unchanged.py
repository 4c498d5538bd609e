"""Whether a function would be traced to the same jaxpr as before.

A trace may be used again while all that the function can see is what it was: the cells it closes
over, its defaults, the globals it names, and likewise for the user's functions among these. What
can't be watched (objects, containers, modules of the user's) makes it not reusable.
"""

from __future__ import annotations

import types
from typing import Any

import numpy as np

from functrace.control.jit import JitFunction
from functrace.control.rules.custom_rules import CustomFunction
from functrace.interpreters.staging import may_change, same_bits
from functrace.source_info import is_internal

__all__ = ["Surroundings"]

LARGEST = 1 << 20
"""Arrays of more bytes that may change are not compared: a function that sees one is traced."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic, np.dtype)
_MODULES = ("numpy", "functrace", "math", "scipy", "builtins")


class Surroundings:
    """What a function sees, as it was.

    Attributes:
        watchable: whether all of it can be compared.
    """

    __slots__ = ("_arrays", "_cells", "_code", "_customs", "_globals", "watchable")

    def __init__(self, fun: Any) -> None:
        self._cells: list[tuple[Any, Any]] = []
        self._globals: list[tuple[dict[str, Any], str, Any]] = []
        self._arrays: list[tuple[Any, Any]] = []
        self._code: list[tuple[Any, Any, Any]] = []
        self._customs: list[tuple[CustomFunction, tuple[Any, ...]]] = []
        self.watchable = self._watch(fun)

    def unchanged(self) -> bool:
        """Tell whether everything is what it was."""
        for cell, value in self._cells:
            if cell.cell_contents is not value:
                return False
        for names, name, value in self._globals:
            if names.get(name, _MISSING) is not value:
                return False
        for fun, code, defaults in self._code:
            if fun.__code__ is not code or fun.__defaults__ is not defaults:
                return False
        if any(custom.functions() != known for custom, known in self._customs):
            return False
        return all(same_bits(array, copy) for array, copy in self._arrays)

    def _watch_function(self, fun: Any) -> bool:
        if any(fun is known for known, _, _ in self._code):
            return True
        if fun.__kwdefaults__ or set(fun.__dict__) - {"__wrapped__"}:
            return False
        self._code.append((fun, fun.__code__, fun.__defaults__))
        if not self._watch_cells(fun) or not all(map(self._watch, fun.__defaults__ or ())):
            return False
        return all(self._watch_global(fun, name) for name in _names(fun.__code__))

    def _watch_cells(self, fun: Any) -> bool:
        for cell in fun.__closure__ or ():
            try:
                value = cell.cell_contents
            except ValueError:  # not assigned yet
                return False
            self._cells.append((cell, value))
            if not self._watch(value):
                return False
        return True

    def _watch_custom(self, custom: CustomFunction) -> bool:
        """Watch a function with rules, and these."""
        if any(custom is known for known, _ in self._customs):
            return True
        functions = custom.functions()
        self._customs.append((custom, functions))
        return all(map(self._watch, functions))

    def _watch_global(self, fun: Any, name: str) -> bool:
        value = fun.__globals__.get(name, _MISSING)
        self._globals.append((fun.__globals__, name, value))
        return value is _MISSING or self._watch(value)

    def _watch(self, value: Any) -> bool:
        if isinstance(value, (*_PLAIN, types.BuiltinFunctionType)):
            return True
        if isinstance(value, tuple):
            return all(map(self._watch, value))
        if isinstance(value, types.ModuleType):
            return value.__name__.split(".")[0] in _MODULES
        if type(value) is np.ndarray:
            return self._watch_array(value)
        if isinstance(value, JitFunction):
            return self._watch(value.__wrapped__)  # type: ignore[attr-defined]
        if type(value) is types.FunctionType:
            # A function of functrace's never changes, but one it returned holds the user's.
            internal = is_internal(value.__code__)
            return self._watch_cells(value) if internal else self._watch_function(value)
        if isinstance(value, CustomFunction):
            return self._watch_custom(value)
        # NumPy's functions are objects of classes of its own; others' classes may change.
        home = value if isinstance(value, type) else type(value)
        return callable(value) and home.__module__.split(".")[0] in ("numpy", "builtins")

    def _watch_array(self, array: Any) -> bool:
        if not may_change(array):
            return True
        if array.nbytes > LARGEST:
            return False
        self._arrays.append((array, array.copy()))
        return True


_MISSING = object()


def _names(code: types.CodeType) -> set[str]:
    """Return the global names that a code and the functions inside of it use."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names
