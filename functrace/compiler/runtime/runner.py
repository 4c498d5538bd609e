"""Runs a step list from Python: kernels as printed source, compiled by Numba or interpreted.

The same plan, records and memory as the native program; only who runs a kernel differs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from functrace.compiler.emit.numba.kernels import load
from functrace.compiler.ir.convention import (
    ERROR_CELL_WORDS,
    ERROR_SLOT,
    MAX_DETAILS,
    status_kind_site,
)
from functrace.compiler.runtime.build import build
from functrace.compiler.runtime.layout import address_of
from functrace.compiler.runtime.program import only_result
from functrace.compiler.runtime.steps import (
    Copy,
    HostCall,
    InputSpec,
    KernelCode,
    Loop,
    OutputSpec,
    SlotView,
    Step,
    Switch,
)

__all__ = ["PythonProgram", "source_function"]

Array = np.ndarray[Any, Any]
StepFunction = Callable[[int, int, int, int], int]
_PROTOTYPE = ctypes.CFUNCTYPE(
    ctypes.c_int64, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64
)


def source_function(source: str, compiled: bool) -> StepFunction:
    """Return the step function of a kernel's printed source."""
    function = load(source, compiled=compiled)
    if not compiled:
        return function
    native = _PROTOTYPE(function.address)  # type: ignore[attr-defined]

    def run(frame: int, record: int, lo: int, hi: int) -> int:
        return int(native(frame, record, lo, hi))

    run.keep = function  # type: ignore[attr-defined]
    return run


def _library_function(code: KernelCode | str) -> StepFunction:
    code = KernelCode(code) if isinstance(code, str) else code
    native = build(code.text, (code.entry,), code.symbols)
    function = _PROTOTYPE(native.address)

    def run(frame: int, record: int, lo: int, hi: int) -> int:
        return int(function(frame, record, lo, hi))

    run.keep = native  # type: ignore[attr-defined]
    return run


class PythonProgram:
    """A step list with the interface of `Program` that `Compiled` needs.

    Args:
        inputs, outputs, n_slots, steps, constants, temporaries, arena_bytes, error: as `Program`'s.
        functions: what runs a step, by its ``eqn``; others are built, or call Python.
    """

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        n_slots: int,
        steps: Sequence[Step],
        functions: Mapping[object, StepFunction],
        *,
        constants: dict[int, Array],
        temporaries: Sequence[tuple[int, int]],
        arena_bytes: int,
        error: Callable[[Step, str, int, tuple[int, ...]], BaseException],
    ) -> None:
        self.inputs, self.outputs, self.steps = tuple(inputs), tuple(outputs), tuple(steps)
        self.n_slots, self.arena_bytes = n_slots, arena_bytes
        self.constants, self.temporaries = constants, tuple(temporaries)
        self._error = error
        self._sources = functions
        self._functions: dict[int, StepFunction] = {}
        self._records: dict[int, Array] = {}
        self._prepare(self.steps)

    def _prepare(self, steps: Sequence[Step]) -> None:
        for step in steps:
            kernel = step.kernel
            if isinstance(kernel, Loop):
                self._prepare((*kernel.test, *kernel.body))
            elif isinstance(kernel, Switch):
                self._prepare([s for branch in kernel.branches for s in branch])
            else:
                self._records[id(step)] = np.array([*step.record, 0], np.int64)
                self._functions[id(step)] = self._function(step)

    def _function(self, step: Step) -> StepFunction:
        kernel = step.kernel
        if isinstance(kernel, HostCall):
            return lambda frame, record, lo, hi: kernel.run(frame) or 0
        if isinstance(kernel, Copy):
            return lambda frame, record, lo, hi: _copy(kernel, frame)
        given = self._sources.get(step.eqn) if isinstance(step.eqn, Hashable) else None
        if given is not None:
            return given
        assert isinstance(kernel, (str, KernelCode))
        return _library_function(kernel)

    def into(self, *args: Any) -> None:
        """Nothing: there is no native way to write into given arrays."""

    def run_into(self, args: Sequence[Any], outs: Sequence[Array]) -> None:
        """Write the results to arrays the caller gives."""
        for out, result in zip(outs, self(*args), strict=True):
            out[...] = result

    def call(self, *args: Any) -> list[Any] | None:
        """Return the results, or None for arguments of other types than the inputs'."""
        if len(args) != len(self.inputs):
            return None
        for arg, spec in zip(args, self.inputs):
            weak = isinstance(arg, (float, complex, int)) and not isinstance(arg, np.generic)
            array = np.asarray(arg)
            if weak != spec.weak or array.shape != spec.shape or array.dtype != spec.dtype:
                return None
        return self(*args)

    def call_for_one(self) -> Callable[..., Any]:
        """Return a ``call`` whose result is the only result itself, not a list of it."""
        return only_result(self.call)

    def __call__(self, *args: Any) -> list[Any]:
        """Return the results for flat arguments."""
        arena = np.zeros(self.arena_bytes + 128, np.uint8)
        base = (address_of(arena) + 63) & -64
        frame = np.zeros(self.n_slots, np.int64)
        cell = np.zeros(ERROR_CELL_WORDS, np.int64)
        frame[ERROR_SLOT] = address_of(cell)
        held: list[Array] = []
        for arg, spec in zip(args, self.inputs):
            held.append(np.require(arg, spec.dtype, ("C", "A")))
            frame[spec.slot] = address_of(held[-1])
        for slot, value in self.constants.items():
            frame[slot] = address_of(value)
        for slot, offset in self.temporaries:
            frame[slot] = base + offset
        made = [np.empty(o.shape, o.dtype) for o in self.outputs]
        for array, output in zip(made, self.outputs):
            if not output.copy:
                frame[output.slot] = address_of(array)
        self._run(self.steps, frame, cell)
        for array, output in zip(made, self.outputs):
            if output.copy:
                at = address_of(frame)
                array[...] = SlotView(output.slot, output.shape, output.dtype).array(at)
        return [array if array.ndim else array[()] for array in made]

    def _run(self, steps: Sequence[Step], frame: Array, cell: Array) -> None:
        for step in steps:
            kernel = step.kernel
            if isinstance(kernel, Loop):
                self._loop(kernel, frame, cell)
            elif isinstance(kernel, Switch):
                index = _read_integer(frame, kernel.slot, kernel.width)
                last = len(kernel.branches) - 1
                self._run(kernel.branches[min(max(index, 0), last)], frame, cell)
            else:
                self._call(step, frame, cell)

    def _loop(self, loop: Loop, frame: Array, cell: Array) -> None:
        trips = loop.trips
        if loop.trips_slot is not None:
            trips = _read_integer(frame, loop.trips_slot, 8)
        for i in range(trips):
            if loop.test_slot is not None:
                self._run(loop.test, frame, cell)
                if not _read_integer(frame, loop.test_slot, 1):
                    break
            if loop.counter is not None:
                ctypes.c_int64.from_address(int(frame[loop.counter])).value = i
            for w in loop.windows:
                frame[w.slot] = frame[w.base] + w.start + i * w.stride
            self._run(loop.body, frame, cell)
            for a, b in loop.swaps:
                frame[[a, b]] = frame[[b, a]]

    def _call(self, step: Step, frame: Array, cell: Array) -> None:
        function, record = self._functions[id(step)], self._records[id(step)]
        grain = step.grain or max(step.extent, 1)
        for lo in range(0, step.extent, grain):
            hi = min(lo + grain, step.extent)
            status = function(address_of(frame), address_of(record), lo, hi)
            if status:
                kind, site = status_kind_site(status)
                raise self._error(step, kind, site, tuple(cell[:MAX_DETAILS].tolist()))

    def as_text(self) -> str:
        """Return the step list as text."""
        return "\n".join(f"step {k}: {s.label} over {s.extent}" for k, s in enumerate(self.steps))


def _read_integer(frame: Array, slot: int, width: int) -> int:
    """Return the integer or boolean a slot holds."""
    kind = {1: ctypes.c_uint8, 4: ctypes.c_int32, 8: ctypes.c_int64}[width]
    return int(kind.from_address(int(frame[slot])).value)


def _copy(copy: Copy, frame: int) -> int:
    pointers = (ctypes.c_size_t * (1 + max(copy.target, copy.source))).from_address(frame)
    ctypes.memmove(pointers[copy.target], pointers[copy.source], copy.nbytes)
    return 0
