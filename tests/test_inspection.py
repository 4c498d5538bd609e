"""jit's options and looks inside: out=, threads=, stages, costs, memory, cache information."""

from __future__ import annotations

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import functrace as ft
from functrace.compiler.runtime.driver import driver, portable_calls
from functrace.control.fastcall import MISS

RNG = np.random.default_rng(3)
X = RNG.normal(size=(4, 6))


def split(x: Any, k: Any) -> Any:
    return {"a": x * k, "b": [np.sum(x, axis=1), None]}


def buffers() -> dict[str, Any]:
    return {"a": np.empty((4, 6)), "b": [np.empty(4), None]}


# --- out= --------------------------------------------------------------------------------------


def check_out(f: Any, *args: Any) -> None:
    wanted, out = f(*args), buffers()
    for _ in range(3):
        for leaf in ft.tree.leaves(out):
            leaf.fill(np.nan)
        assert f(*args, out=out) is out
        for a, b in zip(ft.tree.leaves(out), ft.tree.leaves(wanted)):
            assert_array_equal(a, b)


def test_out_is_written_and_returned() -> None:
    f = ft.jit(split)
    check_out(f, X, 2.0)
    out = buffers()
    assert any(fast((X, 2.0), {"out": out}) is out for fast in f._fast)
    check_out(f, X.T.copy().T, 2.0)
    assert f.cache_info().misses == 1


@pytest.mark.parametrize("backend", ["python", "portable"])
def test_out_without_the_builtin(backend: str) -> None:
    if backend == "portable":
        with portable_calls():
            check_out(ft.jit(split), X, 2.0)
    else:
        with ft.config.override(backend=backend):
            check_out(ft.jit(split), X, 2.0)


def test_out_with_jit_disabled() -> None:
    with ft.disable_jit():
        check_out(ft.jit(split), X, 2.0)


def test_out_of_scalars_and_of_copies_of_arguments() -> None:
    f = ft.jit(lambda x: (np.sum(x), x, x > 0))
    out = (np.empty(()), np.empty((4, 6)), np.empty((4, 6), bool))
    assert f(X, out=out) is out
    assert out[0] == np.sum(X, dtype=float) or np.isclose(out[0], np.sum(X))
    assert_array_equal(out[1], X)
    assert_array_equal(out[2], X > 0)


def test_out_may_be_an_argument() -> None:
    f = ft.jit(lambda x: x[::-1] + 1)
    x = np.arange(5.0)
    for _ in range(2):
        given = x.copy()
        assert f(given, out=given) is given
        assert_array_equal(given, x[::-1] + 1)


def test_out_may_be_strided_or_a_memory_map(tmp_path: Any) -> None:
    f = ft.jit(lambda x: (x + 1, x + 2))
    base = np.zeros(12)
    f(np.arange(6.0), out=(base[::2], base[1::2]))
    assert_array_equal(base[::2], np.arange(6.0) + 1)
    assert_array_equal(base[1::2], np.arange(6.0) + 2)
    mapped = np.memmap(tmp_path / "m", float, "w+", shape=(6,))
    f(np.arange(6.0), out=(mapped, base[:6]))
    assert_array_equal(mapped, np.arange(6.0) + 1)


def test_out_allocates_nothing() -> None:
    f = ft.jit(lambda x: np.tanh(x) * 2)
    x, out = np.ones(100_000), np.empty(100_000)
    for _ in range(3):
        f(x, out=out)
    tracemalloc.start()
    try:
        for _ in range(20):
            f(x, out=out)
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


def test_out_of_none_is_no_out() -> None:
    assert_array_equal(ft.jit(lambda x: x * 2)(X, out=None), X * 2)


OUT_ERRORS = {
    "shape": (
        lambda o: o.update(a=np.empty((4, 5))),
        ValueError,
        r"jit of split .*: out\['a'\] has shape \(4, 5\) and dtype float64; the result there has "
        r"shape \(4, 6\) and dtype float64",
    ),
    "dtype": (
        lambda o: o["b"].__setitem__(0, np.empty(4, np.float32)),
        TypeError,
        r"out\['b'\]\[0\] has shape \(4,\) and dtype float32; the result there has shape \(4,\) "
        "and dtype float64",
    ),
    "no array": (lambda o: o.update(a=1.0), TypeError, r"out\['a'\] is a float"),
    "structure": (lambda o: o.pop("b"), TypeError, "out has structure .*; the output has struct"),
    "read-only": (
        lambda o: o["a"].setflags(write=False),
        ValueError,
        r"out\['a'\], of shape \(4, 6\) and dtype float64, is read-only",
    ),
    "shared": (
        lambda o: o["b"].__setitem__(0, o["a"][1, :4]),
        ValueError,
        r"out\['a'\] and out\['b'\]\[0\] share memory",
    ),
}


@pytest.mark.parametrize("name", OUT_ERRORS)
def test_errors_of_out(name: str) -> None:
    break_it, error, text = OUT_ERRORS[name]
    f, out = ft.jit(split), buffers()
    f(X, 2.0, out=buffers())
    break_it(out)
    for call in (f, f.lower(X, 2.0).compile()):
        with pytest.raises(
            error, match=text if call is f else text.removeprefix("jit of split .*: ")
        ):
            call(X, 2.0, out=out)
    with ft.disable_jit(), pytest.raises(error, match=text):
        f(X, 2.0, out=out)


def test_out_is_refused_under_a_transformation() -> None:
    f = ft.jit(lambda x: x * 2)
    with pytest.raises(TypeError, match="called with out= while it is being transformed"):
        ft.grad(lambda x: np.sum(f(x, out=np.empty(3))))(np.ones(3))


def test_an_out_of_the_functions_own() -> None:
    def mine(x: Any, out: Any) -> Any:
        return x + out

    assert_array_equal(ft.jit(mine)(X, out=X), 2 * X)
    assert_array_equal(ft.jit(lambda x, **more: x + more["out"])(X, out=X), 2 * X)


@pytest.mark.parametrize("f", [np.tanh, np.cumsum, np.sort])
def test_numpys_functions_leave_out_to_jit(f: Any) -> None:
    out = np.empty(6)
    assert ft.jit(f)(X[0], out=out) is out
    assert_array_equal(out, ft.jit(f)(X[0]))


def test_compiled_functions_take_out() -> None:
    compiled = ft.jit(split).lower(X, 2.0).compile()
    check_out(compiled, X, 2.0)


# --- threads= ----------------------------------------------------------------------------------

BIG = RNG.normal(size=(600, 500))
THREADED: dict[str, Callable[..., Any]] = {
    "elementwise": lambda x: np.exp(np.sin(x) * x) / (1 + x * x),
    "reductions": lambda x: (np.sum(x * x), np.sum(np.exp(x), axis=0), np.max(x, axis=1)),
    "gemm": lambda x: (x.T @ x, x @ x[0]),
    "sort": lambda x: (np.sort(x, axis=1), np.cumsum(x, axis=0)),
    "gradient": ft.grad(lambda x: np.sum(np.tanh(x @ x.T) ** 2)),
}


@pytest.mark.parametrize("name", THREADED)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_bits_are_the_same_for_any_number_of_threads(name: str, dtype: Any) -> None:
    f, x = THREADED[name], BIG.astype(dtype)
    with ft.config.override(threads=8):
        wanted = [a.tobytes() for a in ft.tree.leaves(ft.jit(f)(x))]
        for threads in (1, 2, 3, 8):
            got = ft.jit(f, threads=threads)(x)
            assert [a.tobytes() for a in ft.tree.leaves(got)] == wanted
            with ft.config.override(threads=threads):
                got = ft.jit(f)(x)
                assert [a.tobytes() for a in ft.tree.leaves(got)] == wanted


LIMIT = """
import numpy as np
import functrace as ft
from functrace.compiler.runtime.driver import driver
def f(x):
    return np.exp(np.sin(x))
x = np.ones(2_000_000)
alone, few, all_of_them = ft.jit(f, threads=1), ft.jit(f, threads=3), ft.jit(f)
started = []
with ft.config.override(threads=1):
    all_of_them(x)
    started.append(driver().helpers_started())
ft.config.threads = 6
for g in (alone, few, all_of_them, ft.grad(lambda x: np.sum(alone(x)))):
    g(x)
    started.append(driver().helpers_started())
print(started)
"""


def test_threads_are_started_up_to_the_limit() -> None:
    out = subprocess.run([sys.executable, "-c", LIMIT], capture_output=True, text=True, check=True)
    if driver().helpers_started() or sys.platform in ("linux", "darwin"):
        assert out.stdout.strip() == "[0, 0, 2, 5, 5]"


def test_threads_reach_nested_and_transformed_functions() -> None:
    inner = ft.jit(lambda x: np.sin(x), threads=2)
    text = str(ft.make_jaxpr(ft.vmap(ft.grad(lambda x: inner(x))))(X[0]))
    assert text.count("threads=2") >= 2
    assert "threads" not in str(ft.make_jaxpr(ft.jit(lambda x: np.sin(x)))(X))


@pytest.mark.parametrize("threads", [0, -1, 1.5, True, "2"])
def test_threads_must_be_a_count(threads: Any) -> None:
    with pytest.raises(ValueError, match="jit got threads="):
        ft.jit(lambda x: x, threads=threads)


def test_unknown_options_are_refused() -> None:
    with pytest.raises(TypeError, match="jit got unknown options: thread"):
        ft.jit(lambda x: x, thread=2)
    with pytest.raises(AttributeError, match="config has no setting 'thread'"):
        ft.config.thread = 2


# --- stages ------------------------------------------------------------------------------------


def model(w: Any, x: Any) -> Any:
    return np.sum(np.tanh(x @ w), axis=1) + x[:, 0]


W, ROWS = RNG.normal(size=(32, 48)), RNG.normal(size=(64, 32))
STAGES = {
    "jaxpr": "dot_general", "simplified": "tanh", "views": "return", "fusion": "group 1: loop",
    "schedule": "outer range", "memory": "arena", "plan": "slots", "kernels": "tanh",
    "program": "step 0", "numba": "@rt.kernel", "llvm": "define i64 @kernel", "asm": "kernel:",
}  # fmt: skip


@pytest.mark.parametrize("stage", STAGES)
def test_every_stage_prints(stage: str) -> None:
    lowered = ft.jit(model).lower(W, ROWS)
    text = lowered.as_text(stage)
    assert STAGES[stage] in text
    assert lowered.compile().as_text(stage) == text


def test_the_assembly_shows_every_kernel() -> None:
    text = ft.jit(model).lower(W, ROWS).as_text("asm")
    assert "# dgemm" in text and "ft_dgemm" in text and text.count("kernel:") == 2


def test_an_unknown_stage_lists_the_names() -> None:
    with pytest.raises(ValueError, match=r"no stage is called 'hlo'. Try: one of jaxpr, .*asm"):
        ft.jit(model).lower(W, ROWS).as_text("hlo")


# --- costs and memory --------------------------------------------------------------------------

N = 1000
COSTS: dict[str, tuple[Callable[..., Any], tuple[Any, ...], tuple[int, int, int]]] = {
    "add": (lambda x: x + 1.0, (np.ones(N),), (N, 0, 16 * N)),
    "chain": (lambda x: np.sqrt(x * x + 1.0), (np.ones(N),), (3 * N, 0, 16 * N)),
    "exp": (lambda x: np.exp(x) * 2.0, (np.ones(N),), (N, N, 16 * N)),
    "float32": (lambda x: x * x, (np.ones(N, np.float32),), (N, 0, 8 * N)),
    "complex": (lambda x: x + x, (np.ones(N, complex),), (2 * N, 0, 32 * N)),
    "integers": (lambda x: x * x + 1, (np.ones(N, int),), (0, 0, 16 * N)),
    "sum": (lambda x: np.sum(x), (np.ones(N),), (N, 0, 8 * N + 8)),
    "rows": (lambda x: np.sum(x * x, axis=1), (np.ones((10, N)),), (20 * N, 0, 80 * N + 80)),
    "broadcast": (
        lambda x, b: x + b,
        (np.ones((10, N)), np.ones(N)),
        (10 * N, 0, 168 * N),
    ),
    "slice": (lambda x: x[:10] + 1.0, (np.ones(N),), (10, 0, 160)),
    "gather": (lambda x, i: x[i], (np.ones(N), np.arange(5)), (0, 0, 5 * 8 * 3)),
    "product": (
        lambda a, b: a @ b,
        (np.ones((64, 32)), np.ones((32, 48))),
        (2 * 64 * 32 * 48, 0, 8 * (64 * 32 + 32 * 48 + 64 * 48)),
    ),
    "cumsum": (lambda x: np.cumsum(x, axis=0), (np.ones((10, 1024)),), (9216, 0, 163840)),
    "sort": (lambda x: np.sort(x), (np.ones(N),), (0, 0, 16 * N)),
    "copy": (lambda x: x, (np.ones(N),), (0, 0, 16 * N)),
}


@pytest.mark.parametrize("name", COSTS)
def test_costs_are_counted(name: str) -> None:
    f, args, (flops, transcendentals, moved) = COSTS[name]
    cost = ft.jit(f).lower(*args).cost_analysis()
    assert cost == {
        "flops": flops,
        "transcendentals": transcendentals,
        "bytes accessed": moved,
    }


def test_memory_is_counted() -> None:
    table = RNG.normal(size=(64, 48))
    compiled = ft.jit(lambda w, x: (x @ w + table) @ w.T).lower(W, ROWS).compile()
    sizes = compiled.memory_analysis()
    assert sizes["argument_size_in_bytes"] == W.nbytes + ROWS.nbytes
    assert sizes["output_size_in_bytes"] == 64 * 32 * 8
    assert sizes["constant_size_in_bytes"] == table.nbytes
    assert 64 * 48 * 8 <= sizes["temp_size_in_bytes"] <= 2 * 64 * 48 * 8
    parts = [n for key, n in sizes.items() if not key.startswith("peak")]
    assert sizes["peak_memory_in_bytes"] == sum(parts)


PEAK = """
import numpy as np
import functrace as ft
def peak():
    with open("/proc/self/status") as status:
        return next(int(s.split()[1]) * 1024 for s in status if s.startswith("VmHWM"))
n = 1500
rng = np.random.default_rng(0)
w, x = rng.normal(size=(n, n)), rng.normal(size=(n, n))
f = ft.jit(lambda w, x: np.tanh(np.tanh(x @ w) @ w) @ w)
small = w[:200, :200].copy()
f(small, small)
sizes = f.lower(w, x).compile().memory_analysis()
open("/proc/self/clear_refs", "w").write("5")
before = peak()
f(w, x)
grown = peak() - before
print(grown, sizes["peak_memory_in_bytes"] - sizes["argument_size_in_bytes"])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, which Linux alone has")
def test_the_peak_is_within_the_prediction() -> None:
    out = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    grown, predicted = map(int, out.stdout.split())
    # BLAS packs blocks of its operands into buffers of its own.
    assert grown <= predicted + (48 << 20)
    assert grown >= 1500 * 1500 * 8


# --- caches ------------------------------------------------------------------------------------


def test_a_function_counts_its_traces() -> None:
    f = ft.jit(lambda x, n: x * n, static_argnums=1)
    assert f.cache_info() == (0, 0, 0)
    f.lower(X, 2).as_text("jaxpr")
    f.trace(X, 3)
    f(X, 4)
    f(X, 4)
    info = f.cache_info()
    assert (info.misses, info.traces) == (3, 3) and info.programs >= 1
    f.clear_cache()
    assert f.cache_info() == (0, 0, 0)
    assert all(fast((X, 4), {}) is MISS for fast in f._fast)


def test_clearing_the_kernel_cache_keeps_programs_working() -> None:
    f = ft.jit(lambda x: np.cos(x) + 0.125)
    wanted = f(X)
    assert ft.cache_info().entries >= 1
    ft.clear_caches()
    assert ft.cache_info().entries == 0
    assert_array_equal(f(X), wanted)
