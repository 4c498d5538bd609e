"""Small groups before and after a loop are part of its kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loops import check, compiled

import functrace.numpy as fnp
from functrace import lax
from functrace.compiler.pipeline import Compiled

RNG = np.random.default_rng(0)


def labels(program: Compiled) -> list[str]:
    return [step.label for step in program.program.steps]


def rotated(angle: Any, x: Any, scale: float = 1.0) -> Any:
    """A matrix made of numbers, a loop, and a number made of what it carries."""
    c, s = fnp.cos(angle), fnp.sin(angle)
    turn = fnp.stack([fnp.stack([c, -s]), fnp.stack([s, c])])

    def step(v: Any, a: Any) -> Any:
        v = fnp.stack([turn[0, 0] * v[0] + turn[0, 1] * v[1], turn[1, 0] * v[0] + a])
        return v, v[0]

    v, path = lax.scan(step, scale * turn[0], x)
    return v[0] * v[1] + c, path


@pytest.mark.parametrize("n", [1, 2, 3, 16, 60])
def test_all_of_it_is_one_kernel(n: int) -> None:
    program = check(rotated, 0.3, RNG.random(n))
    assert len(labels(program)) == 1
    assert {"scan", "cos", "concatenate", "mul"} <= {*labels(program)[0].split("+")}


def test_one_kernel_serves_all_lengths() -> None:
    def divided(angle: Any, x: Any) -> Any:
        return rotated(angle, x, 1.0 / len(x))[0] / len(x)

    for fun in (rotated, divided):
        texts = {compiled(fun, 0.3, np.zeros(n)).as_text("kernels") for n in (5, 16, 17, 300)}
        assert len(texts) == 1


def test_what_others_read_is_in_memory() -> None:
    def shared(angle: Any, x: Any) -> Any:
        (total, path), turn = rotated(angle, x), fnp.stack([fnp.cos(angle), fnp.sin(angle)])
        again = rotated(total, path + turn[0])
        return total, turn, again, fnp.sum(x * turn[1])

    check(shared, 0.3, RNG.random(200))


def test_results_that_are_views_are_in_memory() -> None:
    def views(p: Any, x: Any) -> Any:
        q = fnp.exp(p)
        last, _ = lax.scan(lambda s, a: (s * q[0] + a, None), q[1], x)
        return q[::-1], q[1], last, last + q[2]

    check(views, np.array([-1.0, 0.5, -0.3]), RNG.random(40))


def test_longer_arrays_are_steps_of_their_own() -> None:
    def long(x: Any, w: Any) -> Any:
        y = fnp.exp(x)
        s, rows = lax.scan(lambda s, a: (0.5 * s + a * w[0], s), 0.0 * w[0], y)
        return fnp.sum(rows) + s

    program = check(long, RNG.random(12), RNG.random(3))
    assert labels(program)[0] == "exp"
    assert len(labels(program)) > 2


def test_memory_that_is_passed_on() -> None:
    """A loop's stack may lie where what is read before the loop lay: then these are two steps."""

    def passed_on(x: Any) -> Any:
        rows = fnp.sin(x).reshape(4, 30)
        first = fnp.max(rows, axis=1)
        weights = first / fnp.sum(first)
        s, out = lax.scan(
            lambda s, i: (0.5 * s + weights, s), weights * 2.0, fnp.arange(30, dtype=float)
        )
        return fnp.sum(out, axis=0) + s

    check(passed_on, RNG.random(120))


def test_branches_and_whiles() -> None:
    def both(x: Any, n: Any) -> Any:
        y = fnp.stack([x, 2.0 * x])
        y = lax.cond(x > 0.0, lambda v: v + 1.0, lambda v: v[::-1], y)
        z, _ = lax.while_loop(lambda c: c[1] < n, lambda c: (c[0] * 1.5, c[1] + 1), (y, 0))
        return z[0] - z[1]

    for x in (0.4, -0.4):
        assert len(labels(check(both, x, 5))) <= 2


def test_work_counts_what_is_around() -> None:
    def squared(x: Any, xs: Any) -> Any:
        y = fnp.exp(x) * x
        return lax.scan(lambda s, a: (s + a, None), y, xs)[0]

    costs = compiled(squared, 1.0, RNG.random(10)).cost_analysis()
    assert costs["transcendentals"] == 1
    assert costs["flops"] == 11
