"""Loops and branches over larger arrays: step lists inside of the native driver."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loops import check, compiled

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.compiler.runtime.steps import Copy, Loop, Step

RNG = np.random.default_rng(0)
BIG = 1000


def loop_of(steps: Any) -> Loop:
    """Return the first loop of a step list."""
    return next(step.kernel for step in steps if isinstance(step.kernel, Loop))


def test_a_training_loop() -> None:
    def train(w: Any, xs: Any, ys: Any) -> Any:
        def step(w: Any, data: Any) -> Any:
            x, y = data
            error = fnp.tanh(x @ w) - y
            return w - 0.1 * x.T @ error, (error**2).sum()

        return lax.scan(step, w, (xs, ys))

    args = RNG.normal(size=(40, 30)), RNG.normal(size=(5, 8, 40)), RNG.normal(size=(5, 8, 30))
    program = check(train, *args, rtol=1e-9, form="steps")
    loop = loop_of(program.program.steps)
    assert any(step.label.startswith("dgemm") for step in loop.body)


def test_an_elementwise_carry_is_updated_in_place() -> None:
    def decay(x: Any, rate: Any) -> Any:
        return lax.fori_loop(0, 7, lambda i, x: x * rate + i, x)

    program = check(decay, RNG.random(BIG), 0.5, rtol=0, form="steps")
    loop = loop_of(program.program.steps)
    assert BIG * 8 <= program.memory_analysis()["temp_size_in_bytes"] < 1.1 * BIG * 8
    assert not any(isinstance(step.kernel, Copy) for step in loop.body)


def test_a_stencil_swaps_two_buffers() -> None:
    def heat(u: Any) -> Any:
        def step(i: Any, u: Any) -> Any:
            return u + 0.1 * (fnp.roll(u, 1) - 2 * u + fnp.roll(u, -1))

        return lax.fori_loop(0, 50, step, u)

    program = check(heat, RNG.random(BIG), rtol=1e-13, form="steps")
    loop = loop_of(program.program.steps)
    assert loop.swaps
    assert not any(isinstance(step.kernel, Copy) for step in loop.body)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 6])
def test_rows_go_through_windows(length: int, reverse: bool) -> None:
    def running(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = c * 0.5 + row
            return c, (c, row[::2], c.sum())

        return lax.scan(step, fnp.zeros(BIG), x, reverse=reverse)

    check(running, RNG.random((length, BIG)), rtol=1e-12, form="steps")


def test_strided_rows() -> None:
    def total(x: Any) -> Any:
        return lax.scan(lambda c, row: (c + row, c[:3]), fnp.zeros(BIG), x.T[::-1])

    check(total, RNG.random((BIG, 5)), rtol=1e-13, form="steps")


def test_while_with_several_carries() -> None:
    def grow(x: Any) -> Any:
        def body(s: Any) -> Any:
            x, k, _, _ = s
            return x * 1.5 + 1, k + 1, x, k < 20

        return lax.while_loop(
            lambda s: (fnp.sum(s[0]) < 1e6) & s[3], body, (x, 0, x, np.bool_(True))
        )

    check(grow, RNG.random(BIG), rtol=1e-12, form="steps")


def test_a_flag_alone_may_be_the_condition() -> None:
    def grow(x: Any) -> Any:
        return lax.while_loop(
            lambda s: s[1], lambda s: (s[0] + 1.0, s[0][0] < 5.0), (x, np.bool_(True))
        )

    check(grow, RNG.random(BIG), rtol=0, form="steps")


def test_branches() -> None:
    def walk(x: Any, numbers: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            branches = [lambda c: c * 2, lambda c: c, lambda c: fnp.cumsum(c) * 0.01]
            c = lax.switch(a % 3, branches, c)
            return c, lax.cond(a > 4, lambda c: c[:5], lambda c: c[-5:] - 1, c)

        return lax.scan(step, x, numbers)

    check(walk, RNG.random(BIG), np.arange(10, dtype=np.int32), rtol=1e-12, form="steps")


def test_carries_that_change_places() -> None:
    def swapped(x: Any, y: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return (c[1], c[0], c[0] + c[1], c[2] * 2), c

        return lax.scan(step, (x, y, x, y), None, length=5)

    check(swapped, RNG.random(BIG), RNG.random(BIG), rtol=0, form="steps")


def test_loops_in_loops_and_small_ones_as_kernels() -> None:
    def nested(x: Any) -> Any:
        def outer(c: Any, row: Any) -> Any:
            d, ys = lax.scan(lambda d, r: (d + r, d[::-1]), c[0] * 0.5, c, reverse=True)
            small = lax.fori_loop(0, 10, lambda i, s: s * 0.5 + i, row)
            return ys * 0.1 + d + small, ys.sum()

        return lax.scan(outer, x, x[:, 0, 0] if x.ndim > 2 else x[:, 0])

    program = check(nested, RNG.random((8, BIG)), rtol=1e-12, form="steps")
    (group,) = [g for g in program.compilation.groups if g.kind == "steps"]
    inside = [g.kind for g in group.body[0].bodies[0].groups]
    assert "steps" in inside
    assert "sequence" in inside


def test_what_never_changes_is_computed_before() -> None:
    def power(w: Any, x: Any) -> Any:
        return lax.fori_loop(0, 5, lambda i, x: fnp.exp(w * 2.0) @ x * 0.01, x)

    program = check(power, RNG.random((60, 60)) * 0.1, RNG.random(60), rtol=1e-10)
    loop = next(g.body[0] for g in program.compilation.groups if g.kind in ("steps", "sequence"))
    assert "exp" not in str(loop)


def test_errors_inside_name_the_line() -> None:
    def bad(x: Any, k: Any) -> Any:
        return lax.scan(lambda c, i: (c * 0.5 + x[i], None), x[0], k)[0]

    x = RNG.random((5, BIG))
    with pytest.raises(IndexError, match="index 7 is out of bounds for axis 0 with size 5") as info:
        ft.jit(bad)(x, np.array([1, 2, 7]))
    assert any("test_nested" in note for note in info.value.__notes__)


def test_a_failed_factorisation_inside() -> None:
    def bad(x: Any) -> Any:
        return lax.scan(lambda c, m: (c + fnp.linalg.cholesky(m), None), fnp.zeros_like(x[0]), x)[0]

    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        ft.jit(bad)(np.stack([np.eye(50), -np.eye(50)]))


def test_threads_do_not_change_bits() -> None:
    def run(x: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, x: fnp.sin(x) + x.sum() * 1e-9, x)

    x = RNG.random(300_000)
    one = ft.jit(run, threads=1)(x)
    np.testing.assert_array_equal(one, ft.jit(run, threads=2)(x))


def test_program_text_and_costs() -> None:
    program = compiled(lambda x: lax.fori_loop(0, 7, lambda i, x: x * 0.5, x), RNG.random(BIG))
    assert "of 7" in program.as_text("program")
    assert program.cost_analysis()["flops"] == 7 * BIG
    assert all(isinstance(step, Step) for step in program.program.steps)
