"""Loops and branches over scalars and small arrays: each one kernel."""

from __future__ import annotations

import os
import signal
import threading
import time
from typing import Any

import numpy as np
import pytest
from loops import check, compiled, kinds

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.compiler import pipeline

RNG = np.random.default_rng(0)


def test_a_scan_over_scalars_is_a_plain_loop() -> None:
    def filtered(x: Any, c: Any) -> Any:
        def step(s: Any, a: Any) -> Any:
            s = 0.9 * s + a * c
            return s, s * s

        return lax.scan(step, 0.0, x)

    program = check(filtered, RNG.random(50), 2.0, rtol=0, form="sequence")
    assert kinds(program) == ["sequence"]
    text = program.as_text("kernels")
    assert text.count("for ") == 1
    assert "local" not in text


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("length", [0, 1, 5])
def test_lengths_and_directions(length: int, reverse: bool) -> None:
    def running(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            c = c + row
            return c, (c * 2.0, row[::-1])

        return lax.scan(step, fnp.zeros(3), x, reverse=reverse)

    check(running, RNG.random((length, 3)), rtol=0)


def test_one_kernel_serves_all_lengths() -> None:
    def total(x: Any) -> Any:
        return lax.scan(lambda s, a: (s + fnp.sin(a), None), 0.0, x)[0]

    texts = {compiled(total, np.zeros(n)).as_text("kernels") for n in (10, 11, 500)}
    assert len(texts) == 1


def test_while_and_its_counter() -> None:
    def collatz(n: Any) -> Any:
        def body(s: Any) -> Any:
            n, k = s
            return fnp.where(n % 2 == 0, n // 2, 3 * n + 1), k + 1

        return lax.while_loop(lambda s: s[0] != 1, body, (n, 0))

    program = check(collatz, np.int64(27), rtol=0, form="sequence")
    assert program(np.int64(27))[1] == 111
    assert program(np.int64(1))[1] == 0


@pytest.mark.parametrize("n", [2, 3, 4, 5, 8, 17, 22])
def test_small_matrices(n: int) -> None:
    def power(w: Any, x: Any) -> Any:
        def step(x: Any, _: Any) -> Any:
            x = fnp.tanh(w @ x) + 0.1 * (w.T @ x)
            return x, (x.sum(), fnp.outer(x, x)[0])

        return lax.scan(step, x, None, length=6)

    check(power, RNG.normal(size=(n, n)) / n, RNG.normal(size=n), rtol=1e-11, form="sequence")


@pytest.mark.parametrize("dtype", ["float32", "complex128", "int32", "bool", "float16"])
def test_dtypes(dtype: str) -> None:
    x = (RNG.normal(size=(6, 5)) * 4).astype(dtype)

    def last(x: Any) -> Any:
        def step(c: Any, row: Any) -> Any:
            return fnp.where(row != c, row, c), (c, row[2])

        return lax.scan(step, x[0], x)

    check(last, x, rtol=0, form="sequence")


def test_branches_are_taken_one_at_a_time() -> None:
    def walk(x: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            c = lax.cond(a > 0.5, lambda c: fnp.sin(c) + a, lambda c: c - 1.0, c)
            number = (a * 3).astype("int32")
            y = lax.switch(number, [lambda v: v, lambda v: v * 2, lambda v: v - a], c)
            return c, y

        return lax.scan(step, 0.1, x)

    check(walk, RNG.random(40), rtol=1e-15, form="sequence")


def test_branches_over_small_arrays() -> None:
    def walk(x: Any, k: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            c, d = c
            branches = [
                lambda c, d: (c, d),
                lambda c, d: (d, c),
                lambda c, d: (c + d[::-1], fnp.sort(c)),
            ]
            c, d = lax.switch(a % 3, branches, c, d)
            return (c, d), c[1]

        return lax.scan(step, (x, x * 2), k)

    check(walk, RNG.random(6), np.arange(20, dtype=np.int32), rtol=0, form="sequence")


def test_loops_in_loops() -> None:
    def nested(x: Any) -> Any:
        def outer(c: Any, row: Any) -> Any:
            def inner(d: Any, a: Any) -> Any:
                n, d = lax.while_loop(
                    lambda s: s[1] < 10.0, lambda s: (s[0] + 1, s[1] * 1.5 + a), (0, d + 0.1)
                )
                return d * 0.01, n

            d, ns = lax.scan(inner, c.sum(), row, reverse=True)
            return c * 0.5 + d, (ns, d)

        return lax.scan(outer, fnp.ones(3), x)

    check(nested, RNG.random((5, 7)), rtol=1e-14, form="sequence")


def test_carries_that_change_places() -> None:
    def swapped(x: Any, y: Any) -> Any:
        def step(c: Any, _: Any) -> Any:
            return (c[1], c[0], c[0] + c[1], c[2]), c

        return lax.scan(step, (x, y, x, y), None, length=5)

    check(swapped, RNG.random(10), RNG.random(10), rtol=0, form="sequence")
    check(swapped, RNG.random(), RNG.random(), rtol=0, form="sequence")


def test_reductions_sorts_and_factorisations_inside() -> None:
    def mixed(x: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            spd = c @ c.T + fnp.eye(3)
            low = fnp.linalg.cholesky(spd)
            y = fnp.linalg.solve(spd, a)
            best = fnp.argmax(y)
            return low * 0.5 + y[best], (fnp.sort(y), fnp.cumsum(y), best, y.min())

        return lax.scan(step, fnp.eye(3), x)

    check(mixed, RNG.random((9, 3)), rtol=1e-11, form="sequence")


def test_indexing_at_computed_places() -> None:
    def histogram(x: Any, table: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            k = (a * 8).astype("int64")
            c = lax.dynamic_update_slice(c, (c[k] + table[k, 3])[None], (k,))
            return c, c[k]

        return lax.scan(step, fnp.zeros(8), x)

    check(histogram, RNG.random(30), RNG.random((8, 2000)), rtol=0, form="sequence")


def test_an_index_error_names_the_line() -> None:
    def bad(x: Any, k: Any) -> Any:
        return lax.scan(lambda c, i: (c + x[i], None), 0.0, k)[0]

    fun = ft.jit(bad)
    x = RNG.random(5)
    assert fun(x, np.arange(5)) == pytest.approx(x.sum())
    with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 5") as info:
        fun(x, np.arange(6))
    assert any("test_sequential" in note for note in info.value.__notes__)


def test_a_failed_factorisation_says_so() -> None:
    def bad(x: Any) -> Any:
        return lax.scan(lambda c, m: (c + fnp.linalg.cholesky(m), None), fnp.zeros((2, 2)), x)[0]

    good, wrong = np.eye(2), -np.eye(2)
    ft.jit(bad)(np.stack([good, good]))
    with pytest.raises(np.linalg.LinAlgError, match="not positive definite"):
        ft.jit(bad)(np.stack([good, wrong]))


def test_lanes_of_a_map_are_split_over_threads() -> None:
    def roots(x: Any) -> Any:
        def one(x: Any) -> Any:
            def better(s: Any) -> Any:
                return s[0] - (s[0] ** 3 - x) / (3 * s[0] ** 2), s[1] + 1

            return lax.while_loop(lambda s: abs(s[0] ** 3 - x) > 1e-9, better, (1.0, 0))

        return ft.vmap(one)(x)

    x = RNG.random(100_000) * 100
    program = compiled(roots, x)
    (step,) = [s for s in program.program.steps if s.extent > 1]
    assert 0 < step.grain < step.extent == len(x)
    found, rounds = program(x)
    np.testing.assert_allclose(found**3, x, atol=1e-8)
    assert rounds.min() < rounds.max()


def test_results_nobody_reads_are_not_computed() -> None:
    def only_one(x: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            return (c[0] + a, c[1] * fnp.exp(a)), (fnp.sin(a), c[1])

        (total, _), _ = lax.scan(step, (0.0, 1.0), x)
        return total

    program = check(only_one, RNG.random(9), form="sequence")
    assert "exp" not in program.as_text("simplified")
    assert "sin" not in program.as_text("simplified")


def test_unchanged_carries_become_constants_and_equal_stacks_one() -> None:
    def loop(x: Any, w: Any) -> Any:
        def step(c: Any, a: Any) -> Any:
            s, w = c
            return (s + a * w, w), (s, s)

        return lax.scan(step, (0.0, w), x)

    program = check(loop, RNG.random(9), 2.0, rtol=0, form="sequence")
    (group,) = [g for g in program.compilation.groups if g.kind == "sequence"]
    assert group.body[0].params["num_carry"] == 1
    assert len(group.body[0].stacks) == 1


def test_residuals_of_a_gradient_share_one_array() -> None:
    def loss(y: Any) -> Any:
        def step(y: Any, _: Any) -> Any:
            a, b = y[0], y[1]
            return fnp.stack([a + 0.1 * a * b, b - 0.1 * fnp.sin(a) * b]), None

        return fnp.sum(lax.scan(step, y, None, length=20)[0] ** 2)

    y = np.array([1.0, 0.5])
    program = check(ft.grad(loss), y, rtol=1e-12)
    first = next(g for g in program.compilation.groups if g.kind == "sequence")
    assert len({stack.array for stack in first.body[0].stacks}) == 1


def test_eager_and_compiled_loops_agree() -> None:
    def total(x: Any) -> Any:
        return lax.fori_loop(0, 10, lambda i, s: s + fnp.cos(s) * i, x)

    assert total(0.3) == ft.jit(total)(0.3)


def test_every_stage_has_text() -> None:
    program = compiled(lambda x: lax.scan(lambda c, a: (c + a, c), 0.0, x), RNG.random(4))
    for stage in ("views", "fusion", "memory", "kernels", "program", "numba", "llvm"):
        assert program.as_text(stage).strip()
    assert "body:" in program.as_text("views")
    costs = program.cost_analysis()
    assert costs["flops"] == 4


def test_tables_are_filled_in_place_whatever_their_size() -> None:
    def recurrence(a: Any) -> Any:
        def step(i: Any, a: Any) -> Any:
            value = 0.5 * fnp.take(a, i - 1) + 0.4 * fnp.take(a, i - 2)
            return lax.dynamic_update_slice(a, value[None], (i,))

        return lax.fori_loop(2, a.shape[0], step, a)

    program = check(recurrence, RNG.random(2000), rtol=0, form="sequence")
    assert program.memory_analysis()["temp_size_in_bytes"] < 2000


def test_a_table_filled_by_two_loops() -> None:
    def distance(s: Any, t: Any) -> Any:
        n, m = s.shape[0], t.shape[0]
        table = fnp.add(fnp.arange(n + 1)[:, None], fnp.arange(m + 1)[None, :])

        def cell(i: Any, j: Any, table: Any) -> Any:
            other = fnp.where(fnp.take(s, i - 1) == fnp.take(t, j - 1), 0, 1)
            window = lax.dynamic_slice(table, (i - 1, j - 1), (2, 2))
            best = fnp.minimum(fnp.minimum(window[0, 1], window[1, 0]) + 1, window[0, 0] + other)
            return lax.dynamic_update_slice(table, best[None, None], (i, j))

        def row(i: Any, table: Any) -> Any:
            return lax.fori_loop(1, m + 1, lambda j, table: cell(i, j, table), table)

        return lax.fori_loop(1, n + 1, row, table)[n, m]

    s, t = RNG.integers(0, 4, 40), RNG.integers(0, 4, 50)
    check(distance, s, t, rtol=0, form="sequence")


def test_an_update_that_reads_what_it_writes_over_copies() -> None:
    def shift(x: Any) -> Any:
        def step(i: Any, x: Any) -> Any:
            return lax.dynamic_update_slice(x, x[:-1] + 1.0, (1,))

        return lax.fori_loop(0, 5, step, x)

    check(shift, RNG.random(40), rtol=0, form="sequence")
    check(shift, RNG.random(5000), rtol=0, form="steps")


def test_loops_over_parts_are_cut_at_their_borders() -> None:
    def ring(u: Any) -> Any:
        return lax.fori_loop(0, 9, lambda i, u: fnp.roll(u, 1) + 0.5 * fnp.roll(u, -2), u)

    program = check(ring, RNG.random(90), rtol=1e-14, form="sequence")
    assert "if " not in program.as_text("kernels")


@pytest.mark.parametrize("size", [130, 257, 509])
@pytest.mark.parametrize("trips", [0, 1, 2, 7])
def test_stencils_take_turns_between_two_places(size: int, trips: int) -> None:
    def step(u: Any) -> Any:
        return fnp.at(u)[1:-1].add(0.2 * (u[:-2] - 2.0 * u[1:-1] + u[2:]))

    def counted(u: Any) -> Any:
        return lax.fori_loop(0, trips, lambda i, u: step(u), u)

    def until(u: Any, n: Any) -> Any:
        def body(c: Any) -> Any:
            i, u, v = c
            return i + 1, step(v), step(u)

        return lax.while_loop(lambda c: (c[0] < n) & (c[1][3] < 9.0), body, (0, u, u[::-1]))

    def kept(u: Any) -> Any:
        def round_(u: Any, _: Any) -> Any:
            new = step(u)
            return new, (u[1], new)

        return lax.scan(round_, u, None, length=trips)

    u = RNG.random(size)
    program = check(counted, u, rtol=0)
    if trips > 1:
        assert program.as_text("kernels").count("local") == 1
    check(counted, u.astype(np.float32), rtol=0)
    check(until, u, trips, rtol=0)
    check(kept, u, rtol=0)


def test_products_of_slices_are_one_product_in_front() -> None:
    def hidden(w: Any, u: Any, xs: Any) -> Any:
        return lax.scan(lambda h, x: (fnp.tanh(w @ x + u @ h), h), xs[0] * 0.0, xs)

    w, u = RNG.normal(size=(2, 20, 20)) * 0.2
    program = check(hidden, w, u, RNG.normal(size=(7, 20)), rtol=1e-11)
    assert "library" in program.as_text("fusion").split("sequence")[0]


def test_sums_of_products_are_one_product_behind() -> None:
    def loss(u: Any, xs: Any) -> Any:
        return fnp.sum(lax.scan(lambda h, x: (fnp.tanh(u @ h + x), h), xs[0], xs)[1] ** 2)

    program = check(
        ft.grad(loss), RNG.normal(size=(20, 20)) * 0.2, RNG.normal(size=(7, 20)), rtol=1e-10
    )
    last = [g for g in program.compilation.groups if g.kind == "library"]
    assert last and last[-1].index > max(
        g.index for g in program.compilation.groups if g.kind == "sequence"
    )


@pytest.mark.skipif(os.name == "nt", reason="there is no such signal")
def test_ctrl_c_stops_endless_lanes() -> None:
    def endless(x: Any) -> Any:
        return ft.vmap(lambda y: lax.while_loop(lambda s: s >= 0, lambda s: s + 1.0, y))(x)

    run = compiled(endless, np.ones(64))
    timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    start = time.perf_counter()
    with pytest.raises(KeyboardInterrupt):
        run(np.ones(64))
    assert time.perf_counter() - start < 5
    timer.join()


def test_a_kernel_that_needs_much_of_the_stack_becomes_steps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Threads have small stacks: what a kernel keeps there is bounded, whatever it holds."""
    x = RNG.random(8)

    def f(x: Any) -> Any:
        return lax.fori_loop(0, 5, lambda i, c: np.cumsum(np.sin(c)) + x[::-1], x)

    want = check(f, x, form="sequence")(x)
    monkeypatch.setattr(pipeline, "MOST_STACK", 32)
    program = compiled(f, x)
    assert "sequence" not in kinds(program)
    np.testing.assert_array_equal(program(x)[0], want[0])
