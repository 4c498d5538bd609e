"""A while loop run so that it can be pulled back, and pulled back: two primitives.

To differentiate either, its equations need not be looked into: ``while_second`` says what the
derivatives are in terms of the loop. Without that, the second derivative in reverse would run the
loops over checkpoints with checkpoints of their own, and the third those.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from functrace.control.loops.jaxpr_surgery import instantiated
from functrace.control.loops.scan_primitive import fixpoint
from functrace.control.loops.while_primitive import ignoring, jvp_of_body
from functrace.control.loops.while_reverse import Checkpoints, kept_types, run_forward
from functrace.control.loops.while_steps import StepBack, step_back, step_of_tangents
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import ClosedJaxpr
from functrace.core.lowering import Composite
from functrace.core.trace import Primitive
from functrace.interpreters.batching import batch_flat
from functrace.interpreters.forward import jvp_flat
from functrace.interpreters.linearize import linearize_jaxpr

__all__ = [
    "Loop",
    "Pulled",
    "back_of",
    "moving_carry",
    "pull",
    "run_kept",
    "while_kept_p",
    "while_pull_p",
]


class Loop(NamedTuple):
    """A while loop and what it is given."""

    cond: ClosedJaxpr
    body: ClosedJaxpr
    cond_consts: Sequence[Any]
    body_consts: Sequence[Any]
    start: Sequence[Any]

    def run(self) -> tuple[list[Any], list[Any]]:
        """Return the last carry, and what ``pull`` wants of the way there."""
        outs = while_kept_p.bind(
            *self.cond_consts,
            *self.body_consts,
            *self.start,
            cond_jaxpr=self.cond,
            body_jaxpr=self.body,
            cond_nconsts=len(self.cond_consts),
            body_nconsts=len(self.body_consts),
        )
        n = len(self.start)
        return outs[2 + n :], outs[: 2 + n]

    def pull(
        self,
        consts: tuple[bool, ...],
        carry: tuple[bool, ...],
        kept: Sequence[Any],
        ct: Sequence[Any],
    ) -> list[Any]:
        """Pull cotangents of the last carry back to what moves, constants and carry.

        Args:
            consts: which constants move.
            carry: which of the carry does.
            kept: what ``run`` kept.
            ct: the cotangents of the carry that moves; None is zero, here and in what is returned.
        """
        back = back_of(self.body, consts, carry, tuple(c is not None for c in ct))
        if not any(back.carry):
            return [None] * (len(back.consts) + len(back.carry))
        outs = while_pull_p.bind(
            *kept,
            *self.cond_consts,
            *self.body_consts,
            *self.start,
            *instantiated(ct, back.carry_avals, back.carry),
            cond_jaxpr=self.cond,
            body_jaxpr=self.body,
            consts=consts,
            carry=carry,
            ct=back.carry,
        )
        found = iter(outs)
        return [next(found) if nz else None for nz in (*back.consts, *back.carry)]

    def with_tangents(
        self, consts: Sequence[Any], start: Sequence[Any]
    ) -> tuple[Loop, tuple[bool, ...]]:
        """Return the loop of values and tangents, and which of its carry has one.

        Args:
            consts: the tangents of the constants; None is zero.
            start: those of what it starts from.
        """
        carry, body = jvp_of_body(
            self.body, [t is not None for t in consts], [t is not None for t in start]
        )
        avals = self.body.in_avals[len(consts) :]
        moving = [a.tangent() for a, nz in zip(avals, carry) if nz]
        loop = Loop(
            ignoring(self.cond, moving),
            body,
            self.cond_consts,
            [*self.body_consts, *(t for t in consts if t is not None)],
            [*self.start, *instantiated(start, avals, carry)],
        )
        return loop, carry


def moving_carry(
    body: ClosedJaxpr, consts: tuple[bool, ...], start: Sequence[bool]
) -> tuple[bool, ...]:
    """Return which of the carry moves if some constants do, and some of what it starts from."""
    return fixpoint(start, lambda flags: linearize_jaxpr(body, (*consts, *flags)).nonzero_out)


def back_of(
    body: ClosedJaxpr,
    consts: tuple[bool, ...],
    carry: tuple[bool, ...],
    nonzero: tuple[bool, ...],
) -> StepBack:
    """Return one step back, if so many of the moving carry at the end have cotangents."""
    step = step_of_tangents(body, consts, carry)
    flags = (False,) * len(body.jaxpr.invars) + (True,) * (sum(consts) + sum(carry))
    return step_back(step, flags, sum(consts), nonzero)


# --- running it --------------------------------------------------------------------------------

# Who differentiates or maps what is kept has it made by the equations behind it from then on. In
# reverse it has no tangents: whoever takes it takes what the loop starts from too.

while_kept_p = Primitive(
    "while_kept", multiple_results=True, not_linear="what it keeps isn't linear"
)


def run_kept(
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    cond_nconsts: int,
    body_nconsts: int,
) -> list[Any]:
    """Run a loop: how many steps there were, the checkpoints, and the last carry."""
    n = cond_nconsts + body_nconsts
    outs, kept = run_forward(
        cond_jaxpr, body_jaxpr, args[:cond_nconsts], args[cond_nconsts:n], args[n:]
    )
    return [*kept.flat(), *outs]


while_kept_p.def_impl(run_kept)
while_kept_p.def_lowering(Composite(run_kept))


@while_kept_p.def_abstract_eval
def _while_kept_type(
    *avals: ShapedArray, body_jaxpr: ClosedJaxpr, body_nconsts: int, **_: Any
) -> list[ShapedArray]:
    return kept_types(body_jaxpr.in_avals[body_nconsts:])


@while_kept_p.def_jvp
def _while_kept_jvp(
    primals: Sequence[Any], tangents: Sequence[Any], **params: Any
) -> tuple[list[Any], list[Any]]:
    return jvp_flat(lambda *args: run_kept(*args, **params), primals, tangents)


@while_kept_p.def_batching
def _while_kept_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None], **params: Any
) -> tuple[list[Any], list[int | None]]:
    return batch_flat(lambda *values: run_kept(*values, **params), size, args, dims)


# --- pulling back ------------------------------------------------------------------------------

while_pull_p = Primitive("while_pull", multiple_results=True)


class Pulled:
    """The operands of ``while_pull_p``, or flags of them, by what they are."""

    def __init__(
        self,
        values: Sequence[Any],
        cond_jaxpr: ClosedJaxpr,
        body_jaxpr: ClosedJaxpr,
        consts: tuple[bool, ...],
        carry: tuple[bool, ...],
        ct: tuple[bool, ...],
    ) -> None:
        n = len(carry)
        rest = list(values)
        sizes = 2 + n, len(cond_jaxpr.jaxpr.invars) - n, len(consts), n, sum(ct)
        self.kept, cond_consts, body_consts, start, self.ct = (
            [rest.pop(0) for _ in range(size)] for size in sizes
        )
        self.loop = Loop(cond_jaxpr, body_jaxpr, cond_consts, body_consts, start)
        #: What comes after them.
        self.rest = rest


def pull(
    *args: Any,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: tuple[bool, ...],
    carry: tuple[bool, ...],
    ct: tuple[bool, ...],
) -> list[Any]:
    """Pull cotangents back over the checkpoints, step by step."""
    p = Pulled(args, cond_jaxpr, body_jaxpr, consts, carry, ct)
    steps, bits, *buffers = p.kept
    cts = iter(p.ct)
    pulled = back_of(body_jaxpr, consts, carry, ct).pull(
        body_jaxpr,
        p.loop.body_consts,
        Checkpoints(steps, bits, buffers),
        [next(cts) if nz else None for nz in ct],
    )
    return [c for c in pulled if c is not None]


while_pull_p.def_impl(pull)
while_pull_p.def_lowering(Composite(pull))


@while_pull_p.def_abstract_eval
def _while_pull_type(
    *avals: ShapedArray,
    cond_jaxpr: ClosedJaxpr,
    body_jaxpr: ClosedJaxpr,
    consts: tuple[bool, ...],
    carry: tuple[bool, ...],
    ct: tuple[bool, ...],
) -> list[ShapedArray]:
    return back_of(body_jaxpr, consts, carry, ct).types
