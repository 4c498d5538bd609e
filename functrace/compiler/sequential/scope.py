"""Where the arrays of a body are inside a kernel: single elements as values, others in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from functrace.compiler.ir.builder import Builder, Index
from functrace.compiler.ir.kernel import DType, Value
from functrace.compiler.plan import Array

__all__ = ["Memory", "Part", "Register", "Scope"]


class Memory(Protocol):
    """What `ArrayRef` needs of memory."""

    @property
    def builder(self) -> Builder: ...

    @property
    def dtype(self) -> DType: ...

    def load(self, index: Index | Sequence[Index]) -> Value: ...

    def store(self, index: Index | Sequence[Index], value: Value) -> None: ...


class Part:
    """Memory from some element of other memory on: one row of a stack."""

    def __init__(self, whole: Memory, first: Value) -> None:
        self.whole = whole
        self.first = first

    @property
    def builder(self) -> Builder:
        return self.whole.builder

    @property
    def dtype(self) -> DType:
        return self.whole.dtype

    def load(self, index: Index | Sequence[Index]) -> Value:
        """Read an element."""
        return self.whole.load(self._place(index))

    def store(self, index: Index | Sequence[Index], value: Value) -> None:
        """Write an element."""
        self.whole.store(self._place(index), value)

    def _place(self, index: Index | Sequence[Index]) -> Value:
        b = self.builder
        return b._bin("add", b._index(self.first), b._index(_only(index)))


class Register:
    """One element in no memory: what is stored is the value from then on."""

    def __init__(self, scope: Scope, array: Array) -> None:
        self.scope = scope
        self.array = array

    @property
    def builder(self) -> Builder:
        return self.scope.b

    @property
    def dtype(self) -> DType:
        return self.array.dtype

    def load(self, index: Index | Sequence[Index]) -> Value:
        """Return the value."""
        return self.scope.value(self.array)

    def store(self, index: Index | Sequence[Index], value: Value) -> None:
        """Set the value. Not inside of loops: what these store is unknown after them."""
        self.scope.values[self.array] = value


class Scope:
    """The arrays of one body, and of what is around it."""

    def __init__(self, b: Builder, outer: Scope | None) -> None:
        self.b = b
        self.outer = outer
        self.values: dict[Array, Value] = {}
        self.memories: dict[Array, Memory] = {}

    def value(self, array: Array) -> Value:
        """Return the only element of an array."""
        scope: Scope | None = self
        while scope is not None:
            if array in scope.values:
                return scope.values[array]
            scope = scope.outer
        raise KeyError(f"{array} is read before it is made")

    def memory(self, array: Array) -> Memory:
        """Return where an array is; one that has no place yet gets one on the stack."""
        if array.size == 1:
            return Register(self, array)
        scope: Scope | None = self
        while scope is not None:
            known = scope.memories.get(array) or scope.given(array)
            if known is not None:
                return known
            scope = scope.outer
        if array.kind in ("input", "constant"):
            raise KeyError(f"{array} is read where it isn't known")
        return self.local(array)

    def given(self, array: Array) -> Memory | None:
        """Return memory that comes from outside of the kernel."""
        return None

    def local(self, array: Array) -> Memory:
        """Give an array memory on the stack."""
        memory: Memory = self.b.alloca(array.dtype, max(array.size, 1))
        self.memories[array] = memory
        return memory


def _only(index: Index | Sequence[Index]) -> Index:
    if isinstance(index, (Value, int)):
        return index
    (only,) = index
    return only
