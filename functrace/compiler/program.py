"""A compiled program: a frame of data pointers, a list of steps, and the way to call them.

`Program` is what every stage before works towards. It owns the code its steps run, the constants
they read and the rows the driver reads, and it is called with flat arguments that fit its inputs.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from functrace.compiler.build import NativeCode, build
from functrace.compiler.driver import Driver, builtin_allowed, driver, thread_limit
from functrace.compiler.driver_ir import CELL_BYTES
from functrace.compiler.kernel import (
    ERROR_CELL_WORDS,
    ERROR_SLOT,
    MAX_DETAILS,
    status_kind_site,
)
from functrace.compiler.layout import Layout, address_of, lay_out

__all__ = [
    "HostCall",
    "InputSpec",
    "KernelCode",
    "OutputSpec",
    "Program",
    "SlotView",
    "Step",
    "default_error",
]

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """An argument: the slot that gets its data, and what it must look like.

    A weak input stands for a Python number: it takes ``float``, ``complex`` or ``int`` objects
    only, and its dtype is float64, complex128 or int64.
    """

    shape: Shape
    dtype: DType
    slot: int
    weak: bool = False


@dataclass(frozen=True, slots=True)
class OutputSpec:
    """A result: a fresh array that the steps write through ``slot``.

    With ``copy`` the result is instead a copy, made after the steps, of what ``slot`` holds: an
    input, a constant or another result. Two results never share a slot unless one is a copy.
    """

    shape: Shape
    dtype: DType
    slot: int
    copy: bool = False

    @property
    def nbytes(self) -> int:
        """The size of the result's data."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True, slots=True)
class KernelCode:
    """A kernel as LLVM text; ``symbols`` gives the addresses of what it calls beyond libm."""

    text: str
    entry: str = "kernel"
    symbols: Callable[[], Mapping[str, int]] | None = None


@dataclass(frozen=True, slots=True)
class SlotView:
    """How Python sees a slot."""

    slot: int
    shape: Shape
    dtype: DType

    def array(self, frame: int) -> Array:
        """Return an array over the slot's memory in the frame at an address."""
        size = math.prod(self.shape) * self.dtype.itemsize
        if not size:
            return np.zeros(self.shape, self.dtype)
        data = ctypes.c_size_t.from_address(frame + 8 * self.slot).value
        memory = memoryview((ctypes.c_char * size).from_address(data)).cast("B")
        array: Array = np.frombuffer(memory, self.dtype).reshape(self.shape)
        return array


@dataclass(frozen=True, slots=True)
class HostCall:
    """A step that runs Python: ``function(*inputs)`` returns one array per output.

    The function gets copies, which it may keep; what it raises, the program's caller gets.
    """

    function: Callable[..., Sequence[Any]]
    inputs: tuple[SlotView, ...]
    outputs: tuple[SlotView, ...]

    def run(self, frame: int) -> None:
        """Call the function on the frame at an address."""
        results = self.function(*(view.array(frame).copy() for view in self.inputs))
        if len(results) != len(self.outputs):
            raise ValueError(
                f"the callback returned {len(results)} arrays instead of {len(self.outputs)}"
            )
        for view, result in zip(self.outputs, results):
            value = np.asarray(result)
            if value.shape != view.shape:
                raise ValueError(
                    f"the callback returned an array of shape {value.shape} "
                    f"where {view.shape} was declared"
                )
            np.copyto(view.array(frame), value, casting="same_kind")


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a kernel, a library or Python.

    Attributes:
        kernel: LLVM text (entry point ``kernel``), a `KernelCode`, or a `HostCall`.
        record: the integers the kernel reads.
        extent: the size of its outer range; 1 when it has none.
        grain: the outer range is run in pieces of this size, by several threads at once where
            there are any; 0 means in one piece. It must depend on sizes alone.
        eqn: whatever error messages need to know; passed on to the program's ``error``.
        label: how the step is called in text.
    """

    kernel: str | KernelCode | HostCall
    record: tuple[int, ...] = ()
    extent: int = 1
    grain: int = 0
    eqn: object = None
    label: str = ""


ErrorMaker = Callable[[Step, str, int, tuple[int, ...]], BaseException]


def default_error(step: Step, kind: str, site: int, details: tuple[int, ...]) -> BaseException:
    """Return the exception for a failed check of a kernel."""
    if kind == "index":
        index, axis, size = details[:3]
        return IndexError(f"index {index} is out of bounds for axis {axis} with size {size}")
    if kind == "nan":
        return FloatingPointError(f"invalid value (nan) produced by {step.label or 'a kernel'}")
    if kind == "linalg":
        return np.linalg.LinAlgError(f"{step.label or 'a factorisation'} failed")
    if kind == "interrupt":
        return KeyboardInterrupt()
    return RuntimeError(f"a check failed in {step.label or 'a kernel'}")


class _Blocks:
    """Frees the idle call blocks of a program when the program goes."""

    def __init__(self, layout: Layout, native: Driver) -> None:
        self._layout = layout
        self._free = native.free_blocks

    def __del__(self) -> None:
        self._free(address_of(self._layout.rows))


class Program:
    """A compiled program, called with flat arguments.

    Args:
        inputs: the arguments.
        outputs: the results.
        n_slots: the length of the frame; slot 0 is the error cell's.
        steps: run in order.
        constants: the arrays that slots hold in every call; kept alive, never copied.
        temporaries: (slot, byte offset in the arena) pairs; offsets are multiples of 64.
        arena_bytes: how much memory the temporaries need together.
        error: makes the exception of a failed step: ``error(step, kind, site, details)``.
        result: what a call returns: a ``"list"``, a ``"tuple"``, or the ``"single"`` result.
        release_gil: let other Python threads run meanwhile; costs a few dozen nanoseconds.

    Attributes:
        call: ``call(*args)`` returns the results, or None when an argument is not exactly what
            the program takes without a conversion. It never raises for that reason.
    """

    def __init__(
        self,
        inputs: Sequence[InputSpec],
        outputs: Sequence[OutputSpec],
        n_slots: int,
        steps: Sequence[Step],
        *,
        constants: Mapping[int, Array] | None = None,
        temporaries: Sequence[tuple[int, int]] = (),
        arena_bytes: int = 0,
        error: ErrorMaker = default_error,
        result: str = "list",
        release_gil: bool = True,
    ) -> None:
        self.inputs, self.outputs, self.steps = tuple(inputs), tuple(outputs), tuple(steps)
        self.n_slots, self.arena_bytes, self.result = n_slots, arena_bytes, result
        self.temporaries = tuple(temporaries)
        self.constants = {k: _usable_constant(v) for k, v in (constants or {}).items()}
        self._error = error
        self._driver = driver()
        self._has_host = any(isinstance(step.kernel, HostCall) for step in steps)
        codes, hosts, rows = self._build_steps()
        self._layout = lay_out(
            self.inputs,
            self.outputs,
            n_slots,
            self.constants,
            self.temporaries,
            arena_bytes,
            rows,
            result,
            release_gil,
            self._driver.api,
        )
        self._driver.limit_helpers(thread_limit() - 1)
        # Everything the machine code touches hangs on this tuple, not on the Program: a builtin
        # that is still running in another thread keeps all of it alive.
        self._state = (
            self._layout.rows,
            _Raiser(self.steps, error),
            (codes, hosts, self.constants, self.inputs, self.outputs),
            _Blocks(self._layout, self._driver),
        )
        self.call: Callable[..., Any] = (
            self._driver.builtin(self._state) if builtin_allowed() else self._portable_call
        )

    def __call__(self, *args: Any) -> Any:
        """Return the results for arguments of the right shapes and dtypes, in any layout.

        Raises:
            TypeError: an argument has another shape or dtype than the program was compiled for.
        """
        results = self.call(*args)
        if results is not None:
            return results
        adapted = [self._adapt(k, arg) for k, arg in enumerate(self._counted(args))]
        results = self.call(
            *(a.item() if spec.weak else a for a, spec in zip(adapted, self.inputs))
        )
        return results if results is not None else self._run(adapted, None)

    def run_into(self, args: Sequence[Any], outs: Sequence[Array]) -> None:
        """Run the program with its results written to arrays the caller gives.

        Each must have the right shape and dtype and be writable; it may overlap an argument.
        """
        if len(outs) != len(self.outputs):
            raise TypeError(f"{len(self.outputs)} output arrays expected, {len(outs)} given")
        for k, (out, spec) in enumerate(zip(outs, self.outputs)):
            if out.shape != spec.shape or out.dtype != spec.dtype:
                raise TypeError(
                    f"output array {k} has shape {out.shape} and dtype {out.dtype}; "
                    f"the result has shape {spec.shape} and dtype {spec.dtype}"
                )
        adapted = [self._adapt(k, arg) for k, arg in enumerate(self._counted(args))]
        held = [*adapted, *self.constants.values()]
        targets: list[Array | None] = []
        for k, out in enumerate(outs):
            others = [*held, *(o for j, o in enumerate(outs) if j != k)]
            free = out.flags.carray and not any(np.may_share_memory(out, a) for a in others)
            targets.append(out if free else None)
        results = self._run(adapted, targets, "list")
        for out, result in zip(outs, results):
            if out is not result:
                out[...] = result

    def as_text(self) -> str:
        """Return the program as readable text: slots, then steps."""
        lines = [f"program: {self.n_slots} slots, arena of {self.arena_bytes} bytes"]
        for k, spec in enumerate(self.inputs):
            weak = " (a Python number)" if spec.weak else ""
            lines.append(f"  slot {spec.slot}: input {k}, {_typed(spec)}{weak}")
        for slot, constant in self.constants.items():
            lines.append(f"  slot {slot}: constant, {_typed(constant)}")
        for slot, offset in self.temporaries:
            lines.append(f"  slot {slot}: temporary at {offset}")
        for k, output in enumerate(self.outputs):
            what = "a copy, as output" if output.copy else "output"
            lines.append(f"  slot {output.slot}: {what} {k}, {_typed(output)}")
        for k, step in enumerate(self.steps):
            pieces = f" in pieces of {step.grain}" if step.grain else ""
            lines.append(
                f"  step {k}: {step.label or 'kernel'} over {step.extent}{pieces}, "
                f"record {list(step.record)}"
            )
        return "\n".join(lines)

    def _build_steps(
        self,
    ) -> tuple[list[NativeCode], list[Callable[[int], None]], list[tuple[Step, int, Any]]]:
        codes: dict[KernelCode, NativeCode] = {}
        hosts: list[Callable[[int], None]] = []
        rows: list[tuple[Step, int, Any]] = []
        for step in self.steps:
            kernel = step.kernel
            if isinstance(kernel, HostCall):
                hosts.append(kernel.run)
                rows.append((step, self._driver.host_step, (id(hosts[-1]),)))
                continue
            if isinstance(kernel, str):
                kernel = KernelCode(kernel)
            if kernel not in codes:
                codes[kernel] = build(kernel.text, (kernel.entry,), kernel.symbols)
            rows.append((step, codes[kernel].address, step.record))
        return list(codes.values()), hosts, rows

    def _counted(self, args: Sequence[Any]) -> Sequence[Any]:
        if len(args) != len(self.inputs):
            raise TypeError(f"{len(self.inputs)} arguments expected, {len(args)} given")
        return args

    def _adapt(self, k: int, arg: Any) -> Array:
        """Return argument ``k`` as an array the kernels can read."""
        spec = self.inputs[k]
        array = np.asarray(arg, spec.dtype) if spec.weak else np.asarray(arg)
        if array.shape != spec.shape or array.dtype.newbyteorder("=") != spec.dtype:
            raise TypeError(
                f"argument {k} has shape {array.shape} and dtype {array.dtype}; the program was "
                f"compiled for shape {spec.shape} and dtype {spec.dtype}"
            )
        return np.require(array, spec.dtype, ("C", "A"))

    def _portable_call(self, *args: Any) -> Any:
        """What the builtin does, for where there is none."""
        if len(args) != len(self.inputs) or not all(map(_exact, args, self.inputs)):
            return None
        try:
            adapted = [self._adapt(k, arg) for k, arg in enumerate(args)]
        except OverflowError:
            return None
        return self._run(adapted, None)

    def _run(
        self, args: Sequence[Array], outs: Sequence[Array | None] | None, result: str | None = None
    ) -> Any:
        """Run the steps by way of ctypes: arguments are usable arrays, given outputs are used."""
        layout = self._layout
        block = np.zeros(layout.block_bytes + 64, np.uint8)
        base = (address_of(block) + 63) & -64
        frame = layout.template.copy()
        for slot, offset in layout.fixups:
            frame[slot] = base + offset
        for arg, spec in zip(args, self.inputs):
            frame[spec.slot] = address_of(arg)
        made: list[Array] = []
        for k, output in enumerate(self.outputs):
            given = outs[k] if outs is not None else None
            made.append(np.empty(output.shape, output.dtype) if given is None else given)
            if not output.copy:
                frame[output.slot] = address_of(made[-1])
        cell = np.zeros(CELL_BYTES // 8, np.int64)
        frame[ERROR_SLOT] = address_of(cell)
        where = ctypes.c_int64()
        run = self._driver.run if self._has_host else self._driver.run_released
        status = run(address_of(frame), layout.step_rows, len(self.steps), ctypes.addressof(where))
        if status:
            _Raiser(self.steps, self._error)(status, where.value, *cell.tolist())
        at = address_of(frame)
        for array, output in zip(made, self.outputs):
            if output.copy:
                array[...] = SlotView(output.slot, output.shape, output.dtype).array(at)
        if outs is not None:
            return made
        return _packed([array if array.ndim else array[()] for array in made], self.result)


class _Raiser:
    """Turns a status into the exception it stands for."""

    def __init__(self, steps: tuple[Step, ...], error: ErrorMaker) -> None:
        self._steps = steps
        self._error = error

    def __call__(self, status: int, where: int, *cell: int) -> None:
        assert len(cell) == ERROR_CELL_WORDS
        kind, site = status_kind_site(status)
        raise self._error(self._steps[where], kind, site, tuple(cell[:MAX_DETAILS]))


def _packed(results: list[Any], kind: str) -> Any:
    if kind == "list":
        return results
    return tuple(results) if kind == "tuple" else results[0]


def _exact(arg: Any, spec: InputSpec) -> bool:
    """Whether an argument needs no conversion: the rule of the builtin, in Python."""
    kind = type(arg)
    if spec.weak:
        return kind in (float, int, complex) and kind is type(spec.dtype.type(0).item())
    if kind is np.ndarray:
        flags = arg.flags
        return (
            arg.dtype == spec.dtype
            and arg.shape == spec.shape
            and bool(flags.c_contiguous and flags.aligned)
        )
    return not spec.shape and (kind is spec.dtype.type or (kind is bool and spec.dtype.kind == "b"))


def _usable_constant(array: Array) -> Array:
    return np.require(array, requirements=("C", "A"))


def _typed(spec: InputSpec | OutputSpec | Array) -> str:
    return f"{spec.dtype.name}[{','.join(map(str, spec.shape))}]"
