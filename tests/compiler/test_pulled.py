"""Expressions that are put together with others are computed where they are put."""

from __future__ import annotations

from typing import Any

import numpy as np
from loops import check, compiled, kinds

import functrace as ft
import functrace.numpy as fnp
from functrace import lax

RNG = np.random.default_rng(0)
PLATE, ROD = RNG.normal(size=(40, 40)), RNG.normal(size=2000)


def heat(u: Any) -> Any:
    """Steps that write a stencil's results into the inside of a plate."""

    def step(i: Any, u: Any) -> Any:
        around = u[:-2, 1:-1] + u[2:, 1:-1] + u[1:-1, :-2] + u[1:-1, 2:]
        return fnp.at(u)[1:-1, 1:-1].add(0.2 * (around - 4.0 * u[1:-1, 1:-1]))

    return lax.fori_loop(0, 5, step, u)


def body_groups(fun: Any, *args: Any) -> list[int]:
    """How many groups each loop's body has."""
    groups = compiled(fun, *args).compilation.groups
    return [len(body.groups) for g in groups for op in g.ops for body in op.bodies]


def test_a_stencil_is_one_pass_forward_and_backward() -> None:
    def loss(u: Any) -> Any:
        return fnp.sum(heat(u) ** 2)

    check(heat, PLATE)
    assert body_groups(heat, PLATE) == [1]
    assert body_groups(ft.grad(loss), PLATE) == [1, 1]
    u, v = RNG.normal(size=(2, 40, 40))
    slope = (loss(u + 1e-6 * v) - loss(u - 1e-6 * v)) / 2e-6
    np.testing.assert_allclose(np.sum(ft.jit(ft.grad(loss))(u) * v), slope, rtol=1e-6)


def test_parts_of_one_array() -> None:
    def parts(x: Any, y: Any) -> Any:
        return fnp.concatenate([x * 2.0 + 1.0, (y - 1.0) * y, x]) - 0.5

    assert kinds(check(parts, ROD, ROD[::-1].copy())) == ["loop"]


def test_parts_that_are_read_twice_or_by_others() -> None:
    def twice(x: Any) -> Any:
        double = x * 2.0
        return fnp.concatenate([double, double]), fnp.pad(double, (3, 4)) + 1.0

    def kept(x: Any) -> Any:
        double = x * 2.0
        return fnp.pad(double, (1, 2)), double, fnp.sum(double * double)

    check(twice, ROD)
    check(kept, ROD)


def test_holes_between_elements_and_turned_parts() -> None:
    def spread(x: Any) -> Any:
        zero = x.dtype.type(0)
        return lax.pad(x * 3.0 - 1.0, zero, ((2, 1, 1),)), fnp.roll(x + 1.0, 7), x[::-1] * 2.0

    check(spread, ROD)
    check(spread, ROD.astype("float32"), rtol=1e-6)


def test_what_is_written_over_is_read_first() -> None:
    def f(u: Any) -> Any:
        def step(u: Any, x: Any) -> Any:
            shifted = fnp.concatenate([u[1:] * x, u[:1] + x])
            return fnp.at(u)[3].set(x) + shifted, fnp.sum(shifted)

        return lax.scan(step, u, np.arange(5.0))

    check(f, ROD, rtol=1e-12)


def test_mathematics_stays_in_a_loop_of_its_own() -> None:
    def f(x: Any) -> Any:
        return fnp.pad(fnp.exp(x), (1, 1))

    assert len(kinds(check(f, ROD))) == 2


def test_what_is_pulled_is_counted() -> None:
    program = compiled(lambda x: fnp.pad(x * 2.0 + 1.0, (1, 1)), ROD)
    assert kinds(program) == ["loop"]
    assert program.cost_analysis()["flops"] == 2 * ROD.size
