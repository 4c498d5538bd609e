"""while in reverse: the carry is kept every so many steps, and the steps between are run again.

Nobody knows how many steps there will be, and arrays in a program have fixed sizes. So the way
forward keeps the carry in a buffer of K places, at first of every step; when the buffer is full,
every other entry is dropped and the stride doubles. The way back takes the segments from the last
to the first, runs each again into a second buffer, and takes its steps from there.

Up to K steps are run once, and once more for their derivative; up to K^2 once more in between.
Beyond that the second buffer has strides too: n steps run about n / (2 K^2) times more.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from functrace.control.loops.branches import INDEX, cond_p
from functrace.control.loops.jaxpr_surgery import memoised
from functrace.control.loops.while_loops import staged_while
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr, Jaxpr, Var, eval_jaxpr
from functrace.interpreters.staging import stage
from functrace.ops.arithmetic import add, max, min, sub
from functrace.ops.bitwise import bitwise_and, shift_left, shift_right_logical
from functrace.ops.creation import convert_element_type, full
from functrace.ops.dynamic import dynamic_slice_p, dynamic_update_slice_p
from functrace.ops.joining import slice_in_dim
from functrace.ops.logical import eq, ge, lt, select
from functrace.ops.structural import expand_dims, squeeze

__all__ = ["Checkpoints", "kept_types", "pull_back", "run_forward"]

BUDGET = 8 * 2**20
FEWEST, MOST = 64, 1024

ZERO, ONE = np.int64(0), np.int64(1)


def places_for(carry: Sequence[ShapedArray]) -> int:
    """Return how many carries a buffer holds: a power of two."""
    nbytes = sum(a.size * a.dtype.itemsize for a in carry)
    wanted = BUDGET // (nbytes or 1)
    fits = FEWEST
    while fits < MOST and 2 * fits <= wanted:
        fits *= 2
    return fits


class Checkpoints(NamedTuple):
    """The carry before some of the steps: of ``steps`` in all, before every ``2 ** bits``."""

    steps: Any
    bits: Any
    buffers: list[Any]

    def flat(self) -> list[Any]:
        """Return them as a list."""
        return [self.steps, self.bits, *self.buffers]


def kept_types(carry: Sequence[ShapedArray]) -> list[ShapedArray]:
    """Return the types of checkpoints of a loop, and of its last carry."""
    carry = [a.strong() for a in carry]
    integer, n = ShapedArray((), np.dtype(np.int64)), places_for(carry) + 1
    return [integer, integer, *(a.update(shape=(n, *a.shape)) for a in carry), *carry]


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


def _keep(buffers: Sequence[Any], carry: Sequence[Any], j: Any, bits: Any) -> list[Any]:
    """Put the carry before step j into its place; into the last place, if it has none."""
    spare = np.int64(buffers[0].shape[0] - 1) if buffers else ZERO
    off = bitwise_and(j, sub(shift_left(ONE, bits), 1))
    return _write(buffers, carry, select(eq(off, ZERO), shift_right_logical(j, bits), spare))


def _empty(carry: Sequence[ShapedArray]) -> list[Any]:
    n = places_for(carry) + 1
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
    steps, bits = outs[:2]
    return outs[2 + len(carry) :], Checkpoints(steps, bits, outs[2 : 2 + len(carry)])


def _forward_program(cond: ClosedJaxpr, body: ClosedJaxpr, n: int, m: int) -> ClosedJaxpr:
    avals = [a.strong() for a in body.in_avals[m:]]
    places = places_for(avals)

    def program(*args: Any) -> list[Any]:
        cond_consts, body_consts, carry = args[:n], args[n : n + m], list(args[n + m :])

        def alive(carry: Sequence[Any]) -> Any:
            return eval_jaxpr(cond.jaxpr, cond.consts, *cond_consts, *carry)[0]

        def fill(state: Any) -> Any:
            """Thin the buffer out, and fill it up at twice the stride."""
            i, bits, goes_on, buffers, carry = state
            bits = add(bits, 1)
            limit = shift_left(np.int64(places), bits)
            half = [slice_in_dim(b, 0, places, 2) for b in buffers]
            buffers = [
                dynamic_update_slice_p.bind(b, h, *[ZERO] * len(b.shape))
                for b, h in zip(buffers, half)
            ]

            def step(state: Any) -> Any:
                i, _, buffers, carry = state
                buffers = _keep(buffers, carry, i, bits)
                carry = eval_jaxpr(body.jaxpr, body.consts, *body_consts, *carry)
                return add(i, 1), alive(carry), buffers, carry

            def unfinished(state: Any) -> Any:
                return bitwise_and(state[1], lt(state[0], limit))

            state = staged_while("steps", unfinished, step, (i, goes_on, buffers, carry))
            i, goes_on, buffers, carry = state
            return i, bits, goes_on, buffers, carry

        start = ZERO, np.int64(-1), alive(carry), _empty(avals), carry
        i, bits, _, buffers, carry = staged_while(
            "a while loop forward", lambda state: state[2], fill, start
        )
        return [i, max(bits, ZERO), *buffers, *carry]

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
    places = places_for(carry)

    def program(*args: Any) -> list[Any]:
        consts, (steps, bits), rest = args[:n], args[n : n + 2], args[n + 2 :]
        kept = Checkpoints(steps, bits, list(rest[: len(carry)]))
        sweep = _Sweep(body, step_back, consts, places)
        return list(sweep.segments(kept, _empty(carry), list(rest[len(carry) :])))

    integer = ShapedArray((), np.dtype(np.int64))
    wide = [a.update(shape=(places + 1, *a.shape)) for a in carry]
    consts = [a.strong() for a in body.in_avals[:n]]
    return stage(program, [*consts, integer, integer, *wide, *cts], "while backward")


class _Sweep:
    """The way back."""

    def __init__(
        self, body: ClosedJaxpr, step_back: ClosedJaxpr, consts: Sequence[Any], places: int
    ) -> None:
        self.body = body
        self.step_back = step_back
        self.consts = consts
        self.bits_of_places = places.bit_length() - 1

    def segments(self, kept: Checkpoints, scratch: Any, cotangents: Any) -> Any:
        """Take the segments between kept carries, the last one first."""
        size = shift_left(ONE, kept.bits)
        bits = max(sub(kept.bits, self.bits_of_places), ZERO)

        def step(state: Any) -> Any:
            k, scratch, cotangents = state
            length = min(size, sub(kept.steps, shift_left(k, kept.bits)))
            scratch = self.fill(_read(kept.buffers, k), length, bits, scratch)
            return sub(k, 1), scratch, self.steps(length, bits, scratch, cotangents)

        last = sub(shift_right_logical(add(kept.steps, sub(size, 1)), kept.bits), 1)
        start = last, scratch, cotangents
        return staged_while("segments back", _not_below_zero, step, start)[2]

    def fill(self, start: Any, length: Any, bits: Any, scratch: Any) -> Any:
        """Keep the carry before the steps of a segment, every ``2 ** bits``."""

        last = sub(length, 1)

        def step(state: Any) -> Any:
            j, scratch, carry = state
            scratch = _keep(scratch, carry, j, bits)
            return add(j, 1), scratch, self.forward_if(lt(j, last), carry)

        first = ZERO, scratch, start
        return staged_while("a segment", lambda s: lt(s[0], length), step, first)[1]

    def steps(self, length: Any, bits: Any, scratch: Any, cotangents: Any) -> Any:
        """Take the steps of a segment back, one by one."""
        back = self.step_back
        below = sub(shift_left(ONE, bits), 1)

        def forward(state: Any) -> Any:
            j, carry = state
            return sub(j, 1), self.forward(carry)

        def step(state: Any) -> Any:
            j, cotangents = state
            near = _read(scratch, shift_right_logical(j, bits))
            start = bitwise_and(j, below), near
            _, carry = staged_while("to the step", lambda s: lt(ZERO, s[0]), forward, start)
            outs = eval_jaxpr(back.jaxpr, back.consts, *self.consts, *carry, *cotangents)
            return sub(j, 1), outs

        return staged_while("steps back", _not_below_zero, step, (sub(length, 1), cotangents))[1]

    def forward(self, carry: Any) -> Any:
        """Run one step."""
        return eval_jaxpr(self.body.jaxpr, self.body.consts, *self.consts, *carry)

    def forward_if(self, goes_on: Any, carry: Any) -> Any:
        """Run one step, or none."""
        invars = [Var(a.strong()) for a in self.body.in_avals]
        stay = ClosedJaxpr(Jaxpr([], invars, invars[len(self.consts) :], []), [])
        index = convert_element_type(goes_on, INDEX)
        return cond_p.bind(index, *self.consts, *carry, branches=(stay, self.body))


def _not_below_zero(state: Any) -> Any:
    return ge(state[0], ZERO)
