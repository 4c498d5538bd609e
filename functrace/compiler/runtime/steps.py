"""What a program is made of: its arguments, its results and its steps, as plain data.

Named tuples where nothing derives from them: every process defines these classes, and a frozen
dataclass takes eight times as long to define.
"""

from __future__ import annotations

import ctypes
import itertools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Copy",
    "HostCall",
    "InputSpec",
    "KernelCode",
    "Loop",
    "OutputSpec",
    "SlotView",
    "Step",
    "Switch",
    "Window",
    "all_steps",
    "numbered",
]

Array = np.ndarray[Any, Any]
DType = np.dtype[Any]
Shape = tuple[int, ...]


class InputSpec(NamedTuple):
    """An argument: the slot that gets its data, and what it must look like.

    A weak input stands for a Python number: it takes ``float``, ``complex`` or ``int`` objects
    only, and its dtype is float64, complex128 or int64.
    """

    shape: Shape
    dtype: DType
    slot: int
    weak: bool = False


class OutputSpec(NamedTuple):
    """A result: a fresh array that the steps write through ``slot``.

    With ``copy`` the result is instead a copy, made after the steps, of what ``slot`` holds: an
    input, a constant, a temporary or another result. Two results never share a slot unless at
    most one of them is no copy.
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


class SlotView(NamedTuple):
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


class HostCall(NamedTuple):
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


class Window(NamedTuple):
    """A slot of a loop's body that looks at another part of ``base`` each time round.

    In round i its pointer is ``base``'s, plus ``start`` and i times ``stride``, in bytes.
    """

    slot: int
    base: int
    stride: int
    start: int = 0


class Loop(NamedTuple):
    """Steps that run again and again.

    Attributes:
        body: what runs each time.
        trips: how often at most.
        trips_slot: a slot whose int64 says how often, instead.
        counter: a slot whose int64 is the number of the round, from 0, while the body runs.
        windows: slots that move with the rounds.
        swaps: pairs of slots that exchange their memory after each round: the body reads the old
            value of a carried array through the first and writes the new one through the second;
            after the loop the first has the last one. Both must be temporaries of one size.
        test: run before each round; the loop ends when it leaves 0 in the byte of ``test_slot``.
    """

    body: tuple[Step, ...]
    trips: int = (1 << 63) - 1
    trips_slot: int | None = None
    counter: int | None = None
    windows: tuple[Window, ...] = ()
    swaps: tuple[tuple[int, int], ...] = ()
    test: tuple[Step, ...] = ()
    test_slot: int | None = None


class Switch(NamedTuple):
    """One of several step lists, chosen by what ``slot`` holds, clamped to what there is.

    Attributes:
        slot: holds a boolean, an int32 or an int64, of ``width`` 1, 4 or 8 bytes.
        branches: the step lists; a boolean chooses among (false, true).
    """

    slot: int
    width: int
    branches: tuple[tuple[Step, ...], ...]


class Copy(NamedTuple):
    """So many bytes of one slot's memory, copied to another's."""

    target: int
    source: int
    nbytes: int


class Step(NamedTuple):
    """One call of a kernel, a library or Python, or a loop or branch over further steps.

    Attributes:
        kernel: LLVM text (entry point ``kernel``), or one of the classes of this file.
        record: the integers the kernel reads.
        extent: the size of its outer range; 1 when it has none.
        grain: the outer range is run in pieces of this size, by several threads at once where
            there are any; 0 means in one piece. It must depend on sizes alone.
        light: whether its pieces are worth sharing with threads that are awake only.
        eqn: whatever error messages need to know; passed on to the program's ``error``.
        label: how the step is called in text.
    """

    kernel: str | KernelCode | HostCall | Loop | Switch | Copy
    record: tuple[int, ...] = ()
    extent: int = 1
    grain: int = 0
    eqn: object = None
    label: str = ""
    light: bool = False


def all_steps(steps: Sequence[Step]) -> Iterator[Step]:
    """Yield all steps, those inside of others included, in order."""
    for step in steps:
        yield step
        if isinstance(step.kernel, Loop):
            yield from all_steps(step.kernel.body)
            yield from all_steps(step.kernel.test)
        elif isinstance(step.kernel, Switch):
            for branch in step.kernel.branches:
                yield from all_steps(branch)


def numbered(steps: Sequence[Step]) -> tuple[Step, ...]:
    """Return steps that know of their origin only which of ``all_steps`` they are."""
    numbers = itertools.count()

    def one(step: Step) -> Step:
        number, kernel = next(numbers), step.kernel
        if isinstance(kernel, Loop):
            body = tuple(map(one, kernel.body))
            kernel = kernel._replace(body=body, test=tuple(map(one, kernel.test)))
        elif isinstance(kernel, Switch):
            kernel = kernel._replace(branches=tuple(tuple(map(one, b)) for b in kernel.branches))
        return step._replace(kernel=kernel, eqn=number)

    return tuple(map(one, steps))
