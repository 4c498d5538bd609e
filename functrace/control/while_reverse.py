"""while in reverse: the carry is kept every so many steps, and the steps between are run again.

Nobody knows how many steps there will be, and arrays in a program have fixed sizes. So the way
forward keeps the carry in a buffer of K places, at first of every step; when the buffer is full,
every other entry is dropped and the stride doubles. The way back takes the segments from the last
to the first, runs each again from its start into a second buffer, and so on, down to single steps.

With K places up to K steps are run once more for their derivative only; up to K^2 / 2 once more in
between, and with a third buffer (used when K is small) up to K^3 / 4 twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.control.jaxpr_surgery import memoised
from functrace.control.while_loops import staged_while
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, eval_jaxpr
from functrace.interpreters.staging import stage
from functrace.ops.arithmetic import add, max, min, mul, sub
from functrace.ops.bitwise import bitwise_and, shift_right_logical
from functrace.ops.creation import full
from functrace.ops.dynamic import dynamic_slice_p, dynamic_update_slice_p
from functrace.ops.joining import slice_in_dim
from functrace.ops.logical import ge, lt, select
from functrace.ops.structural import expand_dims, squeeze

__all__ = ["Checkpoints", "pull_back", "run_forward"]

BUDGET = 64 * 2**20
FEWEST, MOST = 64, 1024
ENOUGH = 1024
"""With so many places, two buffers serve half a million steps."""

ZERO = np.int64(0)


def places_for(carry: Sequence[ShapedArray]) -> int:
    """Return how many carries a buffer holds: a power of two."""
    nbytes = sum(a.size * a.dtype.itemsize for a in carry)
    wanted = BUDGET // (nbytes or 1)
    fits = FEWEST
    while fits < MOST and 2 * fits <= wanted:
        fits *= 2
    return fits


class Checkpoints(NamedTuple):
    """The carry at the start of each segment: how many there are, of how many steps, and all."""

    count: Any
    stride: Any
    steps: Any
    buffers: list[Any]

    def flat(self) -> list[Any]:
        """Return them as a list."""
        return [self.count, self.stride, self.steps, *self.buffers]


def _write(buffers: Sequence[Any], carry: Sequence[Any], place: Any) -> list[Any]:
    """Put a carry into a place of the buffers."""
    return [
        dynamic_update_slice_p.bind(b, expand_dims(c, (0,)), place, *[ZERO] * (len(b.shape) - 1))
        for b, c in zip(buffers, carry)
    ]


def _read(buffers: Sequence[Any], place: Any) -> list[Any]:
    """Return the carry in a place of the buffers."""
    rows = [
        dynamic_slice_p.bind(b, place, *[ZERO] * (len(b.shape) - 1), slice_sizes=(1, *b.shape[1:]))
        for b in buffers
    ]
    return [squeeze(row, (0,)) for row in rows]


def _empty(carry: Sequence[ShapedArray]) -> list[Any]:
    n = places_for(carry)
    return [full((n, *a.shape), 0, a.dtype) for a in carry]


# --- forward -----------------------------------------------------------------------------------


def run_forward(
    cond: ClosedJaxpr,
    body: ClosedJaxpr,
    cond_consts: Sequence[Any],
    body_consts: Sequence[Any],
    carry: Sequence[Any],
) -> tuple[list[Any], Checkpoints]:
    """Run a while loop; return the last carry, and checkpoints of all of it."""
    n, m = len(cond_consts), len(body_consts)
    key = ("while forward", cond, n, m)
    program = memoised(body, key, lambda: _forward_program(cond, body, n, m))
    outs = eval_jaxpr(program.jaxpr, program.consts, *cond_consts, *body_consts, *carry)
    count, stride, steps = outs[:3]
    buffers, last = outs[3 : 3 + len(carry)], outs[3 + len(carry) :]
    return last, Checkpoints(count, stride, steps, buffers)


def _forward_program(cond: ClosedJaxpr, body: ClosedJaxpr, n: int, m: int) -> ClosedJaxpr:
    avals = [a.strong() for a in body.in_avals[m:]]
    size = places_for(avals)

    def program(*args: Any) -> list[Any]:
        cond_consts, body_consts, carry = args[:n], args[n : n + m], list(args[n + m :])

        def alive(carry: Sequence[Any]) -> Any:
            return eval_jaxpr(cond.jaxpr, cond.consts, *cond_consts, *carry)[0]

        def segment(limit: Any, goes_on: Any, carry: Any) -> Any:
            """Run until the condition is false or so many steps are done."""

            def step(state: Any) -> Any:
                j, _, carry = state
                carry = eval_jaxpr(body.jaxpr, body.consts, *body_consts, *carry)
                return add(j, 1), alive(carry), carry

            def unfinished(state: Any) -> Any:
                return bitwise_and(state[1], lt(state[0], limit))

            return staged_while("a segment", unfinished, step, (ZERO, goes_on, carry))

        def fill(state: Any) -> Any:
            """Thin the buffer out and fill it up, at twice the stride."""
            count, stride, steps, goes_on, buffers, carry = state
            stride = max(add(stride, stride), 1)
            half = [slice_in_dim(b, 0, size, 2) for b in buffers]
            buffers = [
                dynamic_update_slice_p.bind(b, h, *[ZERO] * len(b.shape))
                for b, h in zip(buffers, half)
            ]

            def keep(state: Any) -> Any:
                count, steps, goes_on, buffers, carry = state
                buffers = _write(buffers, carry, count)
                done, goes_on, carry = segment(stride, goes_on, carry)
                return add(count, 1), add(steps, done), goes_on, buffers, carry

            def unfinished(state: Any) -> Any:
                return bitwise_and(state[2], lt(state[0], size))

            start = shift_right_logical(count, 1), steps, goes_on, buffers, carry
            count, steps, goes_on, buffers, carry = staged_while(
                "segments", unfinished, keep, start
            )
            return count, stride, steps, goes_on, buffers, carry

        start = ZERO, ZERO, ZERO, alive(carry), _empty(avals), carry
        count, stride, steps, _, buffers, carry = staged_while(
            "a while loop forward", lambda state: state[3], fill, start
        )
        return [count, stride, steps, *buffers, *carry]

    inputs = [*cond.in_avals[:n], *body.in_avals[:m], *avals]
    return stage(program, [a.strong() for a in inputs], "while forward")


# --- backward ----------------------------------------------------------------------------------


def pull_back(
    body: ClosedJaxpr,
    step_back: ClosedJaxpr,
    body_consts: Sequence[Any],
    kept: Checkpoints,
    sums: Sequence[Any],
    cotangents: Sequence[Any],
) -> list[Any]:
    """Pull cotangents of the last carry back through all steps.

    Args:
        body: of constants and carry, the loop's own.
        step_back: of the same, sums, and cotangents of the carry that is returned; to the sums,
            with the cotangents of constants added, and the cotangents of the carry that is taken.
        body_consts: the constants.
        kept: what ``run_forward`` kept.
        sums: where the cotangents of constants start from.
        cotangents: those of the last carry.

    Returns:
        The sums, then the cotangents of the first carry.
    """
    n = len(body_consts)
    key = ("while back", body, n)
    program = memoised(step_back, key, lambda: _program(body, step_back, n))
    given = [*body_consts, *kept.flat(), *sums, *cotangents]
    return eval_jaxpr(program.jaxpr, program.consts, *given)


def _program(body: ClosedJaxpr, step_back: ClosedJaxpr, n: int) -> ClosedJaxpr:
    carry = [a.strong() for a in body.in_avals[n:]]
    cts = [a.strong() for a in step_back.in_avals[n + len(carry) :]]
    size = places_for(carry)

    def program(*args: Any) -> list[Any]:
        consts, (count, stride, steps), rest = args[:n], args[n : n + 3], args[n + 3 :]
        buffers, cotangents = list(rest[: len(carry)]), list(rest[len(carry) :])
        sweep = _Sweep(body, step_back, consts, size)
        scratch = [_empty(carry) for _ in range(1 if size >= ENOUGH else 2)]
        return list(sweep.segments(buffers, count, stride, steps, scratch, cotangents)[1])

    integer = ShapedArray((), np.dtype(np.int64))
    wide = [a.update(shape=(size, *a.shape)) for a in carry]
    consts = [a.strong() for a in body.in_avals[:n]]
    return stage(program, [*consts, *[integer] * 3, *wide, *cts], "while backward")


class _Sweep:
    """The way back over segments, by way of buffers for ever smaller ones."""

    def __init__(
        self, body: ClosedJaxpr, step_back: ClosedJaxpr, consts: Sequence[Any], size: int
    ) -> None:
        self.body = body
        self.step_back = step_back
        self.consts = consts
        self.size = size

    def segments(
        self, buffers: Any, count: Any, stride: Any, steps: Any, scratch: Any, cotangents: Any
    ) -> tuple[Any, Any]:
        """Take ``count`` segments of ``stride`` steps, ``steps`` in all, the last one first.

        ``scratch`` has the buffers for what is inside of a segment; they come back with the result.
        """

        def step(state: Any) -> Any:
            k, scratch, cotangents = state
            length = min(stride, sub(steps, mul(k, stride)))
            start = _read(buffers, k)
            scratch, cotangents = self.inside(start, length, scratch, cotangents)
            return sub(k, 1), scratch, cotangents

        start = sub(count, 1), scratch, cotangents
        _, scratch, cotangents = staged_while("segments back", _not_below_zero, step, start)
        return scratch, cotangents

    def inside(self, start: Any, length: Any, scratch: Any, cotangents: Any) -> tuple[Any, Any]:
        """Take one segment back: single steps, or smaller segments that the next buffer holds."""
        if not scratch:
            return scratch, self.single_steps(start, length, cotangents)
        buffers, *smaller = scratch
        bits = self.size.bit_length() - 1
        stride = shift_right_logical(add(length, self.size - 1), bits)

        def keep(state: Any) -> Any:
            k, done, buffers, carry = state
            buffers = _write(buffers, carry, k)
            done = add(done, stride)
            carry = self.run(carry, select(lt(done, length), stride, ZERO))
            return add(k, 1), done, buffers, carry

        state = ZERO, ZERO, buffers, start
        count, _, buffers, _ = staged_while("a segment", lambda s: lt(s[1], length), keep, state)
        smaller, cotangents = self.segments(buffers, count, stride, length, smaller, cotangents)
        return [buffers, *smaller], cotangents

    def single_steps(self, start: Any, length: Any, cotangents: Any) -> Any:
        """Take a few steps back, one by one, each from the start of the segment."""

        def step(state: Any) -> Any:
            j, cotangents = state
            carry = self.run(start, j)
            back = self.step_back
            given = [*self.consts, *carry, *cotangents]
            return sub(j, 1), eval_jaxpr(back.jaxpr, back.consts, *given)

        return staged_while("steps back", _not_below_zero, step, (sub(length, 1), cotangents))[1]

    def run(self, carry: Any, steps: Any) -> Any:
        """Run so many steps forward."""

        def step(state: Any) -> Any:
            j, carry = state
            return sub(j, 1), eval_jaxpr(self.body.jaxpr, self.body.consts, *self.consts, *carry)

        return staged_while("steps", lambda s: lt(ZERO, s[0]), step, (steps, carry))[1]


def _not_below_zero(state: Any) -> Any:
    return ge(state[0], ZERO)
