"""What loops compute on the side: vectors over the rounds of a strip, and the same results.

`check` holds native code to the bits of the printed source, and both to Python's loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from loops import check

import functrace as ft
import functrace.numpy as fnp
from functrace import lax

RNG = np.random.default_rng(0)
LENGTHS = [1, 7, 8, 9, 16, 50]


def logarithms(x: Any, c: Any, reverse: bool = False) -> Any:
    def step(s: Any, a: Any) -> Any:
        s = 0.5 * s + a * a + c
        return s, fnp.log(s) + a / s

    return lax.scan(step, c, x, reverse=reverse)


def in_lanes(program: Any) -> bool:
    text: str = program.as_text("kernels")
    return any(f"lanes {n} (" in text for n in (4, 8))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_lengths_and_directions(dtype: str, length: int, reverse: bool) -> None:
    x = RNG.random(length).astype(dtype)
    rtol = 1e-6 if dtype == "float32" else 1e-13
    program = check(lambda x, c: logarithms(x, c, reverse), x, np.asarray(2.0, dtype), rtol=rtol)
    assert in_lanes(program) == (length > 1)


def test_one_kernel_serves_all_lengths() -> None:
    texts = {check(logarithms, RNG.random(n), 2.0).as_text("kernels") for n in LENGTHS[1:]}
    assert len(texts) == 1


def test_bits_do_not_depend_on_the_place_in_a_strip() -> None:
    x = RNG.random(50)
    whole = check(logarithms, x, 2.0)(x, np.float64(2.0))
    for n in (1, 7, 8, 9, 33):
        got = check(logarithms, x[:n], 2.0)(x[:n], np.float64(2.0))
        np.testing.assert_array_equal(got[1], whole[1][:n])


def test_results_of_arrays() -> None:
    """Elements of rows, some of them cheap: each row is where it belongs."""

    def rows(x: Any) -> Any:
        def step(s: Any, a: Any) -> Any:
            s = fnp.stack([s[1] + a, 0.5 * s[0] - a])
            return s, (fnp.stack([s[0], fnp.exp(s[1]), 1.0 / (s[0] + 9.0)]), s)

        return lax.scan(step, fnp.zeros(2), x)

    assert in_lanes(check(rows, RNG.random(30)))


def test_what_the_chain_needs_too_stays_in_it() -> None:
    def carried(x: Any) -> Any:
        def step(s: Any, a: Any) -> Any:
            y = fnp.exp(-s)
            return 0.5 * y + a, y * 2.0

        return lax.scan(step, 0.1, x)

    assert not in_lanes(check(carried, RNG.random(30)))


def test_what_is_read_again_in_the_loop_stays_in_place() -> None:
    """A result which later rounds read is complete before them."""

    def looks_back(x: Any) -> Any:
        def step(i: Any, state: Any) -> Any:
            total, kept = state
            total = total + kept[fnp.maximum(i - 1, 0)] + x[i]
            return total, fnp.at(kept)[i].set(fnp.log(total + 1.0))

        return lax.fori_loop(0, 40, step, (0.0, fnp.zeros(40)))

    check(looks_back, RNG.random(40))


def test_integers_and_conditions_are_kept_for_later() -> None:
    def mixed(x: Any, n: Any) -> Any:
        def step(carry: Any, row: Any) -> Any:
            s, k = carry
            a, m = row
            k = k * 3 + m
            s = fnp.where(k % 2 == 0, 0.5 * s, s + a)
            return (s, k), (fnp.exp(s) * k, fnp.log(1.0 + s * s), k % 2 == 0)

        return lax.scan(step, (0.0, 1), (x, n))

    check(mixed, RNG.random(21), RNG.integers(0, 9, 21))


def test_loops_in_loops() -> None:
    def nested(x: Any) -> Any:
        def outer(s: Any, row: Any) -> Any:
            def inner(t: Any, a: Any) -> Any:
                t = 0.3 * t + a
                return t, fnp.log(t + 1.0)

            s, logs = lax.scan(inner, s, row)
            return s, fnp.sum(logs)

        return lax.scan(outer, 0.5, x)

    assert in_lanes(check(nested, RNG.random((5, 20))))


def test_what_the_next_round_waits_for_comes_first() -> None:
    """Divisions for a result stand behind those of the chain, also where others are read again."""

    def gradient(x: Any) -> Any:
        def step(s: Any, a: Any) -> Any:
            y = a * s / (1.0 + s * s)
            return y + 0.1, y / (2.0 + s)

        return fnp.sum(lax.scan(step, 0.3, x)[1] ** 2)

    check(ft.grad(gradient), RNG.random(25))
    text = check(lambda x: lax.scan(_sides, x[0], x), RNG.random(25)).as_text("kernels")
    body = text[text.index("for ") :]
    assert body.index("select") < body.index("div")


def _sides(s: Any, a: Any) -> Any:
    side = fnp.stack([1.0 / (s + 2.0), a])
    return fnp.where(a > 0.5, 0.5 * s, a), side
