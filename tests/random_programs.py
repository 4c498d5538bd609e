"""Random programs over every registered primitive, and random stacks of transforms over them.

An instruction is a sample of a primitive (``tests/samples``) whose inexact operands are moved a
little by values computed before: so every primitive with samples takes part, with operands that
suit it, and no list of primitives is kept here.
"""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from samples import SAMPLES, Sample, load_all

import functrace as ft
from functrace.core.trace import PRIMITIVES
from functrace.ops.arithmetic import add, mul
from functrace.ops.broadcasting import reduce_sum
from functrace.ops.complexes import imag, real
from functrace.ops.creation import convert_element_type
from functrace.ops.transcendental import tanh

load_all()

INPUTS = (np.array([0.3, -0.8, 0.5]), np.array([[0.2, 0.9], [-0.4, 0.7]]), np.float64(0.6))
TANGENTS = (np.array([0.5, 0.1, -0.3]), np.array([[0.4, -0.2], [0.6, 0.1]]), np.float64(-0.7))

PRIMITIVE_COUNT: collections.Counter[str] = collections.Counter()
PAIR_COUNT: collections.Counter[tuple[str, str]] = collections.Counter()
PROGRAM_COUNT: collections.Counter[str] = collections.Counter()
"""How many programs ran as printed source, and how many compiled."""


def usable_samples(name: str) -> list[Sample]:
    """Return the samples of a primitive that may be part of a program."""
    found = []
    for entry in SAMPLES.get(name, []):
        for dtype in entry.dtypes:
            if dtype.name in ("float64", "float32", "complex128", "int64", "bool"):
                samples = entry.samples(dtype)
                found += [s for s in samples if s.jit and s.batch and s.diff is not False]
    return found


def _in_programs(name: str) -> bool:
    """Effects belong to no value, so they can't be linked to the others."""
    return bool(SAMPLES.get(name) and usable_samples(name)) and not PRIMITIVES[name].effect


NAMES = sorted(filter(_in_programs, PRIMITIVES))
# Their reverse mode fills buffers of many places, nested ones for the derivative of a derivative:
# each leads programs, but isn't drawn for others, and its kernels aren't run by an interpreter.
LONG = frozenset(n for n in NAMES if n.startswith("while"))
OTHERS = [n for n in NAMES if n not in LONG]


@dataclass(frozen=True)
class Instruction:
    """A sample of a primitive, and which earlier values move its operands."""

    name: str
    sample: int
    links: tuple[int, ...]

    def run(self, pool: list[Any]) -> list[Any]:
        """Apply it to operands linked to the pool; return the results."""
        sample = usable_samples(self.name)[self.sample]
        operands = []
        for i, operand in enumerate(sample.args):
            link = self.links[i % len(self.links)]
            fixed = link < 0 or (sample.diff is not True and i not in sample.diff)
            operands.append(operand if fixed else linked(operand, pool[link % len(pool)]))
        primitive = PRIMITIVES[self.name]
        out = primitive.bind(*operands, **sample.params)
        return list(out) if primitive.multiple_results else [out]

    def __str__(self) -> str:
        sample = usable_samples(self.name)[self.sample]
        types = ", ".join(str(ft.core.typeof(a)) for a in sample.args)
        return f"{self.name}({types}; {sample.params}) links={self.links}"


def linked(operand: Any, value: Any) -> Any:
    """Return ``operand`` moved by a small function of ``value``; integers don't move."""
    dtype = operand.dtype
    amount = reduce_sum(value, range(len(value.shape)))
    if amount.dtype.kind == "c":
        amount = add(real(amount), imag(amount))
    amount = mul(tanh(convert_element_type(amount, np.dtype(np.float64))), 0.01)
    if dtype.kind not in "fc":
        if dtype.kind == "b":
            return operand
        return add(operand, convert_element_type(amount, dtype))  # adds int(0.00...) = 0
    return add(operand, convert_element_type(amount, dtype))


@dataclass(frozen=True)
class Program:
    """Instructions over a growing pool of values; some run inside a nested jit."""

    instructions: tuple[Instruction, ...]
    jitted: frozenset[int]

    def __call__(self, *inputs: Any) -> list[Any]:
        """Run it and return the inexact values it computed, as float64, bounded."""
        pool = list(inputs)
        results = []
        for i, instruction in enumerate(self.instructions):
            if i in self.jitted:
                outs = ft.jit(lambda *xs, ins=instruction: ins.run(list(xs)))(*pool)
            else:
                outs = instruction.run(pool)
            for out in outs:
                if out.dtype.kind == "c":
                    results += [real(out), imag(out)]
                else:
                    results.append(out)
                if out.dtype.kind in "fc" and out.dtype != np.float16:
                    pool.append(out)
        return [convert_element_type(r, np.dtype(np.float64)) for r in results]

    def __str__(self) -> str:
        lines = [
            f"  {'jit ' if i in self.jitted else ''}{instruction}"
            for i, instruction in enumerate(self.instructions)
        ]
        return "\n".join(["program:", *lines])


def program_strategy(first: str, jit_allowed: bool = True) -> st.SearchStrategy[Program]:
    """Return programs whose first instruction applies the primitive ``first``."""

    @st.composite
    def build(draw: Any) -> Program:
        count = draw(st.integers(1, 4))
        names = [first, *(draw(st.sampled_from(OTHERS)) for _ in range(count - 1))]
        instructions = []
        for name in names:
            sample = draw(st.integers(0, len(usable_samples(name)) - 1))
            links = tuple(draw(st.lists(st.integers(-1, 5), min_size=1, max_size=3)))
            instructions.append(Instruction(name, sample, links))
        jitted = draw(st.frozensets(st.integers(0, 3), max_size=2)) if jit_allowed else frozenset()
        return Program(tuple(instructions), jitted)

    return build()


# --- transforms that keep the signature (three inputs to a list of arrays) ----------------------

Function = Callable[..., Sequence[Any]]


def weights(outs: Sequence[Any]) -> list[Any]:
    """Return fixed cotangents of outputs."""
    return [
        np.asarray(np.cos(np.arange(max(1, int(np.prod(o.shape)))) + i))[: int(np.prod(o.shape))]
        .reshape(o.shape)
        .astype(np.float64)[()]
        for i, o in enumerate(outs)
    ]


def by_grad(f: Function) -> Function:
    def loss(*xs: Any) -> Any:
        outs = f(*xs)
        total = np.float64(0.0)
        for out, w in zip(outs, weights(outs)):
            total = add(total, reduce_sum(mul(out, w), range(len(out.shape))))
        return total

    return lambda *xs: list(ft.grad(loss, argnums=(0, 1, 2))(*xs))


def by_vjp(f: Function) -> Function:
    def pulled(*xs: Any) -> list[Any]:
        outs, pullback = ft.vjp(f, *xs)
        return list(pullback(weights(outs)))

    return pulled


def by_jvp(f: Function) -> Function:
    return lambda *xs: list(ft.jvp(f, xs, TANGENTS)[1])


def by_linearize(f: Function) -> Function:
    return lambda *xs: list(ft.linearize(f, *xs)[1](*TANGENTS))


def by_vmap(f: Function) -> Function:
    """Map over two lanes of equal values in different axes; return the second lane."""

    def mapped(*xs: Any) -> list[Any]:
        stacked = [ft.numpy.stack([mul(x, 0.9), x], axis=-1) for x in xs]
        outs = ft.vmap(f, in_axes=(-1, -1, -1))(*stacked)
        return [o[1] for o in outs]

    return mapped


def by_jaxpr(f: Function) -> Function:
    def run(*xs: Any) -> list[Any]:
        closed = ft.make_jaxpr(f)(*xs)
        ft.core.check_jaxpr(closed.jaxpr)
        return ft.core.eval_jaxpr(closed.jaxpr, closed.consts, *xs)

    return run


TRANSFORMS: dict[str, Callable[[Function], Function]] = {
    "jit": lambda f: ft.jit(lambda *xs: f(*xs)),
    "grad": by_grad,
    "vjp": by_vjp,
    "jvp": by_jvp,
    "linearize": by_linearize,
    "vmap": by_vmap,
    "jaxpr": by_jaxpr,
}

REFERENCE = {"grad": "vjp", "vjp": "vjp", "jvp": "jvp", "linearize": "jvp"}
"""What a transform is compared with; those that keep the function are left out."""


def apply_stack(f: Function, stack: Sequence[str]) -> Function:
    """Apply transforms, the last one first."""
    for name in reversed(stack):
        f = TRANSFORMS[name](f)
    return f


def reference_stack(stack: Sequence[str]) -> list[str]:
    """Return the plain stack that computes the same."""
    return [REFERENCE[name] for name in stack if name in REFERENCE]


STACKS = [
    stack
    for n in (2, 3)
    for stack in itertools.product(sorted(TRANSFORMS), repeat=n)
    if len(reference_stack(stack)) <= 2
]
"""Stacks of two or three transforms with at most two derivatives."""


def stack_strategy() -> st.SearchStrategy[tuple[str, ...]]:
    """Return the stacks, the plainest first."""
    return st.sampled_from(STACKS)


def count(program: Program, stack: Sequence[str], form: str) -> None:
    """Enter a program, its stack and the form its kernels run in in the histograms."""
    PROGRAM_COUNT[form] += 1
    PRIMITIVE_COUNT.update(i.name for i in program.instructions)
    PAIR_COUNT.update(itertools.pairwise(stack))


def check(program: Program, stack: Sequence[str]) -> None:
    """Compare a stack over a program with the plain reference.

    The tolerance is what tiny changes of the inputs do to the reference, so that badly
    conditioned programs are no false alarms.
    """
    reference = apply_stack(program, reference_stack(stack))
    with ft.disable_jit(), np.errstate(all="ignore"):
        expected = reference(*INPUTS)
        nearby = reference(*(x * (1 + 1e-11) for x in INPUTS))
    with np.errstate(all="ignore"):
        actual = apply_stack(program, stack)(*INPUTS)
    single = any(
        getattr(a, "dtype", None) in (np.float32, np.complex64)
        for i in program.instructions
        for a in usable_samples(i.name)[i.sample].args
    )
    assert len(actual) == len(expected)
    for a, e, n in zip(actual, expected, nearby):
        scale = np.max(np.abs(np.where(np.isfinite(e), e, 0)), initial=1.0)
        with np.errstate(all="ignore"):
            slack = 100 * np.abs(np.where(np.isfinite(n - e), n - e, np.inf))
            known = np.isfinite(e) | ~np.isfinite(n)
            slack = np.where(known, np.nan_to_num(slack, posinf=0), np.inf)
            close = (np.abs(a - e) <= (2e-4 if single else 1e-9) * scale + slack) | (a == e)
        ok = close | (np.isnan(a) & np.isnan(e))
        assert np.shape(a) == np.shape(e) and np.all(ok), (
            f"{' of '.join(stack)} differs from {' of '.join(reference_stack(stack)) or 'itself'}"
            f"\n{program}\njaxpr: {ft.make_jaxpr(program)(*INPUTS)}\n got {a}\n expected {e}"
        )


def histogram_text() -> str:
    """Return the histograms of primitives and of pairs of transforms as lines of text."""
    if not PRIMITIVE_COUNT:
        return ""
    names = "  ".join(f"{n} {c}" for n, c in sorted(PRIMITIVE_COUNT.items()))
    pairs = "  ".join(f"{a} of {b} {c}" for (a, b), c in sorted(PAIR_COUNT.items()))
    forms = ", ".join(f"{c} {form}" for form, c in PROGRAM_COUNT.items())
    return (
        f"programs: {forms}\n"
        f"{sum(PRIMITIVE_COUNT.values())} equations of {len(PRIMITIVE_COUNT)} primitives: {names}\n"
        f"{sum(PAIR_COUNT.values())} pairs of transforms: {pairs}"
    )
