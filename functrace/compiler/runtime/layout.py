"""Lays a compiled program out as the rows of 64-bit words that the native driver reads.

All rows of a program live in one int64 array, made once and never written again (the free list of
call blocks excepted), so threads share it freely.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.compiler.ir.convention import ERROR_SLOT
from functrace.compiler.runtime.driver_ir import (
    ROW_WORDS,
    Block,
    Header,
    InputWord,
    OutputWord,
    StepWord,
)
from functrace.compiler.runtime.placing import Placed
from functrace.compiler.runtime.steps import InputSpec, OutputSpec

__all__ = ["STEP_BYTES", "Layout", "address_of", "aligned", "lay_out"]

_LIST, _TUPLE, _SINGLE = range(3)
RESULTS = {"list": _LIST, "tuple": _TUPLE, "single": _SINGLE}
_PYTHON_NUMBER = {"f": float, "c": complex, "i": int}
_NO_CONVERSION, _FROM_INT, _FROM_BOOL = range(3)
#: A grain beyond every extent: the step is run in one piece.
_WHOLE = 1 << 62
#: More helpers than there will ever be.
_EVERYBODY = 1 << 32
_ALIGN = 64
#: The length of a step's row.
STEP_BYTES = 64
#: Room for one scalar of any dtype.
_CELL = 16
_FROM_NUMPY: tuple[Header, ...] = (Header.ARRAY_TYPE, Header.NEW_ARRAY, Header.NEW_SCALAR)
_FROM_NUMPY += (Header.NEW_COPY, Header.SET_HANDLER, Header.HANDLER)


def address_of(array: np.ndarray[Any, Any]) -> int:
    """Return where an array's data is."""
    address: int = array.__array_interface__["data"][0]
    return address


def aligned(size: int, to: int = _ALIGN) -> int:
    """Round a size up to a multiple."""
    return -(-size // to) * to


def unpacked(layout: Layout) -> Layout:
    """Return the layout of the same program that returns its only result itself.

    It has a header of its own, which points to the other rows of the first, and idle blocks of
    its own.
    """
    header = layout.rows[: len(Header)].copy()
    header[Header.RESULT] = _SINGLE
    header[Header.FREE] = header[Header.FREE_COUNT] = 0
    return layout._replace(rows=header)


class Layout(NamedTuple):
    """Where everything of a program is.

    Attributes:
        rows: all words; the header comes first.
        template: the frame a call starts from, addresses of constants included.
        fixups: (slot, byte offset in a call's block) of slots that point into the block.
        step_rows: the address of the step list.
        block_bytes: how much memory a call needs besides its results.
    """

    rows: np.ndarray[Any, np.dtype[np.int64]]
    template: np.ndarray[Any, np.dtype[np.int64]]
    fixups: tuple[tuple[int, int], ...]
    step_rows: int
    block_bytes: int


class _Rows:
    """Words being collected; a pointer to another row is filled in once the base is known."""

    def __init__(self) -> None:
        self.words: list[int] = []
        self._pointers: list[tuple[int, int]] = []

    def add(self, words: Sequence[int]) -> int:
        at = len(self.words)
        self.words.extend(int(word) for word in words)
        return at

    def point(self, at: int, target: int) -> None:
        self._pointers.append((at, target))

    def finish(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        rows = np.array(self.words, np.int64)
        base = address_of(rows)
        for at, target in self._pointers:
            rows[at] = base + 8 * target
        return rows


def lay_out(
    inputs: Sequence[InputSpec],
    outputs: Sequence[OutputSpec],
    n_slots: int,
    constants: Mapping[int, np.ndarray[Any, Any]],
    temporaries: Sequence[tuple[int, int]],
    arena_bytes: int,
    steps: Sequence[Placed],
    result: str,
    release_gil: bool,
    api: Mapping[str, int],
    threads: int | None = None,
) -> Layout:
    """Place a program's rows."""
    block = _plan_block(inputs, outputs, n_slots, temporaries, arena_bytes)
    template = np.zeros(n_slots, np.int64)
    for slot, constant in constants.items():
        template[slot] = address_of(constant)

    rows = _Rows()
    rows.add([0] * len(Header))
    header = {
        Header.INPUTS: len(inputs),
        Header.OUTPUTS: len(outputs),
        Header.CONSTANTS: len(constants),
        Header.STEPS: len(steps),
        Header.SLOTS: n_slots,
        Header.BLOCK_BYTES: block.size,
        Header.FIXUP_COUNT: len(block.fixups),
        Header.FREE_LIMIT: _free_limit(block.size),
        Header.RESULT: RESULTS[result],
        Header.RELEASE_GIL: int(release_gil),
        Header.OUTPUT_OBJECTS: block.objects_at,
        Header.HELD_OBJECTS: block.held_at,
        Header.TRUE: id(True),
        Header.FALSE: id(False),
        **{word: api.get(word.name.lower(), 0) for word in _FROM_NUMPY},
    }
    for word, value in header.items():
        rows.words[word] = value
    rows.point(Header.INPUT_ROWS, _add_inputs(rows, inputs, block.input_cells))
    rows.point(Header.OUTPUT_ROWS, _add_outputs(rows, outputs))
    rows.point(Header.CONSTANT_ROWS, _add_constants(rows, constants))
    helpers = _EVERYBODY if threads is None else max(threads, 1) - 1
    step_rows = _add_steps(rows, steps, n_slots, helpers)
    rows.point(Header.STEP_ROWS, step_rows)
    rows.point(Header.TEMPLATE, rows.add(template.tolist()))
    rows.point(Header.FIXUPS, rows.add([word for pair in block.fixups for word in pair]))
    words = rows.finish()
    return Layout(words, template, block.fixups, address_of(words) + 8 * step_rows, block.size)


class _BlockPlan(NamedTuple):
    objects_at: int
    held_at: int
    input_cells: tuple[int, ...]
    fixups: tuple[tuple[int, int], ...]
    size: int


def _plan_block(
    inputs: Sequence[InputSpec],
    outputs: Sequence[OutputSpec],
    n_slots: int,
    temporaries: Sequence[tuple[int, int]],
    arena_bytes: int,
) -> _BlockPlan:
    """Place what a call's memory holds: frame, objects, scalar cells, arena."""
    objects_at = Block.FRAME + 8 * n_slots
    held_at = objects_at + 8 * len(outputs)
    cell = aligned(held_at + 8 * len(inputs), _CELL)
    input_cells = tuple(cell + _CELL * k for k in range(len(inputs)))
    cell += _CELL * len(inputs)
    fixups = [(ERROR_SLOT, int(Block.CELL))]
    for output in outputs:
        if not output.shape and not output.copy:
            fixups.append((output.slot, cell))
            cell += _CELL
    arena = aligned(cell)
    fixups += [(slot, arena + offset) for slot, offset in temporaries]
    size = aligned(arena + arena_bytes)
    return _BlockPlan(objects_at, held_at, input_cells, tuple(fixups), size)


def _free_limit(block_bytes: int) -> int:
    """How many idle blocks a program keeps: one of a big one, enough of a small one."""
    return 8 if block_bytes <= 1 << 16 else 2 if block_bytes <= 1 << 22 else 1


def _add_inputs(rows: _Rows, inputs: Sequence[InputSpec], cells: Sequence[int]) -> int:
    first = rows.add([0] * (ROW_WORDS * len(inputs)))
    for k, spec in enumerate(inputs):
        at = first + ROW_WORDS * k
        words = rows.words
        scalar = not spec.shape
        # A weak input is a Python number and nothing else; no array's dtype is at address 0.
        words[at + InputWord.DESCR] = 0 if spec.weak else id(spec.dtype)
        words[at + InputWord.TYPE_NUMBER] = -1 if spec.weak else spec.dtype.num
        words[at + InputWord.NDIM] = len(spec.shape)
        words[at + InputWord.SLOT] = spec.slot
        words[at + InputWord.BYTES] = math.prod(spec.shape) * spec.dtype.itemsize
        words[at + InputWord.CELL] = cells[k]
        if scalar and spec.weak:
            kind = _PYTHON_NUMBER[spec.dtype.kind]
            words[at + InputWord.SCALAR_TYPE] = id(kind)
            words[at + InputWord.CONVERSION] = _FROM_INT if kind is int else _NO_CONVERSION
        elif scalar:
            words[at + InputWord.SCALAR_TYPE] = id(spec.dtype.type)
            is_bool = spec.dtype.kind == "b"
            words[at + InputWord.CONVERSION] = _FROM_BOOL if is_bool else _NO_CONVERSION
        rows.point(at + InputWord.DIMS, rows.add(spec.shape))
    return first


def _add_constants(rows: _Rows, constants: Mapping[int, np.ndarray[Any, Any]]) -> int:
    first = rows.add([0] * (ROW_WORDS * len(constants)))
    for k, (slot, constant) in enumerate(constants.items()):
        rows.words[first + ROW_WORDS * k + InputWord.SLOT] = slot
        rows.words[first + ROW_WORDS * k + InputWord.BYTES] = constant.nbytes
    return first


def _add_outputs(rows: _Rows, outputs: Sequence[OutputSpec]) -> int:
    first = rows.add([0] * (ROW_WORDS * len(outputs)))
    for k, spec in enumerate(outputs):
        at = first + ROW_WORDS * k
        rows.words[at + OutputWord.DESCR] = id(spec.dtype)
        rows.words[at + OutputWord.NDIM] = len(spec.shape)
        rows.words[at + OutputWord.TYPE_NUMBER] = spec.dtype.num
        rows.words[at + OutputWord.SLOT] = spec.slot
        rows.words[at + OutputWord.SOURCE] = spec.slot if spec.copy else -1
        rows.words[at + OutputWord.BYTES] = spec.nbytes
        rows.point(at + OutputWord.DIMS, rows.add(spec.shape))
    return first


def _add_steps(rows: _Rows, steps: Sequence[Placed], n_slots: int, helpers: int) -> int:
    width = STEP_BYTES // 8
    first = rows.add([0] * (width * len(steps)))
    for k, step in enumerate(steps):
        at = first + width * k
        rows.words[at + StepWord.FUNCTION] = step.function
        rows.words[at + StepWord.EXTENT] = step.extent
        rows.words[at + StepWord.GRAIN] = step.grain if step.grain > 0 else _WHOLE
        rows.words[at + StepWord.SLOTS] = n_slots
        rows.words[at + StepWord.NUMBER] = step.number
        rows.words[at + StepWord.HELPERS] = helpers
        rows.words[at + StepWord.LIGHT] = int(step.light)
        record = rows.add(step.record)
        rows.point(at + StepWord.RECORD, record)
        for position, nested in step.lists.items():
            rows.point(record + position, _add_steps(rows, nested, n_slots, helpers))
        for position, table in step.tables.items():
            rows.point(record + position, rows.add(table))
    return first
