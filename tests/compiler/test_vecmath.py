"""The mathematics of kernels: error bounds in ulp, special values, and the printers' agreement."""

from __future__ import annotations

import math
import platform
import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import mpmath as mp
import numpy as np
import pytest
import scipy.special as sc

import functrace as ft
from benchmarks import accuracy
from functrace.compiler import cpu
from functrace.compiler.emit.llvm import kernels as llvm_printer
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import MATH_ARITY, Kernel
from functrace.compiler.ir.vecmath import BOUNDS, RULES
from functrace.compiler.runtime import build, machine
from tests.compiler.test_kernel_ir import run

INF, NAN = math.inf, math.nan
RNG = np.random.default_rng(20)


def kernel(name: str, dtype: str, arity: int = 1) -> Kernel:
    b = KernelBuilder()
    ins = [b.buffer(dtype, "in") for _ in range(arity)]
    out = b.buffer(dtype, "out")
    b.loop(b.lo, b.hi, lambda i: out.store(i, b.math(name, *(x.load(i) for x in ins))))
    return b.finish()


def evaluate(name: str, *xs: Any, how: str = "llvm") -> Any:
    arrays = [np.ascontiguousarray(x) for x in xs]
    out = np.zeros_like(arrays[0])
    k = kernel(name, arrays[0].dtype.name, len(arrays))
    assert run(k, [*arrays, out], (), (0, len(out)), how)[0] == 0
    return out


def even(lo: float, hi: float, n: int = 500) -> Any:
    return RNG.uniform(lo, hi, n)


def decades(lo: float, hi: float, n: int = 500, signs: bool = True) -> Any:
    x = 10.0 ** RNG.uniform(lo, hi, n)
    return x * RNG.choice([-1.0, 1.0], n) if signs else x


def join(*parts: Any) -> Any:
    return np.concatenate([np.atleast_1d(p) for p in parts])


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
@pytest.mark.parametrize("name", sorted(accuracy.CASES))
def test_errors_stay_within_their_bounds(name: str, dtype: str) -> None:
    xs = accuracy.samples(name, dtype, 60 if name == "erf_inv" else 300, seed=1)
    error, where = accuracy.worst(
        evaluate(accuracy.base(name), *xs), accuracy.exact(name, xs, dtype)
    )
    assert error <= accuracy.bound(name, dtype), [x[where] for x in xs]


def test_every_function_is_tested() -> None:
    assert set(RULES) == set(MATH_ARITY) - {"sqrt"} == set(NUMPY)
    assert set(BOUNDS) == set(accuracy.CASES) == set(RULES) | {"digamma, x < 0", "lgamma, x < 0"}


def test_no_function_promises_less_than_four_places() -> None:
    assert all(max(BOUNDS[name]) <= 4.0 for name in RULES)


def test_zeros_of_digamma_and_lgamma_are_met_exactly() -> None:
    zero = np.nextafter(np.float64(1.4616321449683623), [0.0, 9.0])
    with mp.workprec(200):
        want = [float(mp.digamma(mp.mpf(float(x)))) for x in zero]
    np.testing.assert_allclose(evaluate("digamma", zero), want, rtol=4e-16)
    for dtype in ("float64", "float32"):
        np.testing.assert_array_equal(evaluate("lgamma", np.array([1.0, 2.0], dtype)), [0.0, 0.0])


NUMPY: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "logistic": lambda x: np.where(x < 0, np.exp(x), 1) / (1 + np.exp(-np.abs(x))),
    "tanh": np.tanh,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": sc.erf,
    "erfc": sc.erfc,
    "erf_inv": sc.erfinv,
    "cbrt": np.cbrt,
    "digamma": sc.digamma,
    "lgamma": sc.gammaln,
    "atan2": np.arctan2,
    "hypot": np.hypot,
    "fmod": np.fmod,
    "pow": np.power,
}
_EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 3.0, -3.0, INF, -INF, NAN, 1e300, -1e300]
_EDGES += [5e-324, -5e-324, 1e-310, -1e-310, 1.7e308, 710.0, -745.2, -710.0, 2.0**53, -(2.0**53)]


def edges(arity: int) -> list[Any]:
    if arity == 1:
        return [np.array(_EDGES)]
    return [np.repeat(_EDGES, len(_EDGES)), np.tile(_EDGES, len(_EDGES))]


def check_special(got: Any, want: Any, xs: list[Any], rtol: float) -> None:
    close = np.abs(got - want) <= rtol * np.abs(want)
    signs = np.signbit(got) == np.signbit(want)
    fine = (np.isnan(got) & np.isnan(want)) | ((got == want) & signs) | (close & signs)
    assert fine.all(), [(*(x[i] for x in xs), got[i], want[i]) for i in np.flatnonzero(~fine)[:6]]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("name", sorted(set(NUMPY)))
def test_special_values_are_numpys(name: str, dtype: str) -> None:
    with np.errstate(all="ignore"):
        xs = [x.astype(dtype) for x in edges(MATH_ARITY[name])]
        want = NUMPY[name](*xs)
        got = evaluate(name, *xs)
        if name == "lgamma":
            # C says inf at -inf, SciPy -inf.
            want = np.abs(want)
            got = np.abs(got)
        if name == "erf_inv":
            # SciPy loses the sign of -0.0.
            want = np.copysign(want, xs[0])
        check_special(got, want, xs, 1e-13 if dtype == "float64" else 1e-6)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_digamma_is_scipys(dtype: str) -> None:
    x = join(even(-20, 0, 400), even(0, 20, 400), decades(-8, 8, 300)).astype(dtype)
    want, got = sc.digamma(x), evaluate("digamma", x)
    away = np.abs(want) > 0.3
    tolerance = 2e-13 if dtype == "float64" else 1e-6
    np.testing.assert_allclose(got[away], want[away], rtol=tolerance, atol=tolerance)
    assert np.isnan(evaluate("digamma", np.array([-1.0, -2.0, -7.0]).astype(dtype))).all()


def test_subnormal_results_are_rounded_once() -> None:
    x = even(-745.1, -708.4, 300)
    want = np.array([float(mp.exp(mp.mpf(float(v)))) for v in x])
    assert np.all(np.abs(evaluate("exp", x) - want) <= 5e-324)
    x = even(26.0, 27.2, 100)
    want = np.array([float(mp.erfc(mp.mpf(float(v)))) for v in x])
    assert np.all(np.abs(evaluate("erfc", x) - want) <= 1e-14 * want + 5e-324)


@pytest.mark.parametrize("name", sorted(MATH_ARITY))
def test_the_interpreter_gives_the_same_bits(name: str) -> None:
    if name == "sqrt":
        return
    few = join(np.array(_EDGES), even(-3, 3, 30), decades(-5, 5, 30))
    xs = [few, few[::-1].copy()][: MATH_ARITY[name]]
    for dtype in ("float64", "float32"):
        with np.errstate(all="ignore"):
            args = [x.astype(dtype) for x in xs]
        np.testing.assert_array_equal(
            evaluate(name, *args), evaluate(name, *args, how="python"), strict=True
        )


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
@pytest.mark.parametrize("name", ["exp", "log1p", "sin", "pow", "tanh", "erf", "lgamma"])
def test_numba_gives_the_same_bits(name: str, dtype: str) -> None:
    few = join(np.array(_EDGES), even(-3, 3, 300), decades(-5, 12, 300))
    with np.errstate(over="ignore"):
        few = few.astype(dtype)
    xs = [few, few[::-1].copy()][: MATH_ARITY[name]]
    np.testing.assert_array_equal(evaluate(name, *xs), evaluate(name, *xs, how="numba"))


@pytest.mark.skipif(platform.machine() != "x86_64", reason="asks for a CPU of this family")
@pytest.mark.parametrize("name", ["exp", "log", "sin", "pow", "erf", "cbrt"])
def test_a_cpu_without_fma_gives_the_same_bits(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = join(np.array(_EDGES), even(-3, 3, 100), decades(-5, 5, 100))
    xs = [few, few[::-1].copy()][: MATH_ARITY[name]]
    with np.errstate(over="ignore"):
        args = [[x.astype(dtype) for x in xs] for dtype in accuracy.DTYPES]
    here = [evaluate(name, *x) for x in args]
    machine.initialize()  # kernels that come from the disk don't make LLVM's targets known
    target = llvm.Target.from_triple(llvm.get_process_triple())
    plain = target.create_target_machine("x86-64", opt=3, reloc="pic", codemodel="small")
    monkeypatch.setattr(machine, "new_machine", lambda: plain)
    monkeypatch.setattr(machine, "_idle", [])
    monkeypatch.setattr(cpu, "wide_vectors", lambda: False)
    with ft.config.override(cache_dir=str(tmp_path)):
        build.clear_caches()
        there = [evaluate(name, *x) for x in args]
    build.clear_caches()
    for a, b in zip(here, there):
        np.testing.assert_array_equal(a, b, strict=True)


@pytest.mark.skipif(not cpu.wide_vectors(), reason="has no instruction for any function")
@pytest.mark.parametrize("flush", [False, True])
@pytest.mark.parametrize("dtype", accuracy.DTYPES)
def test_instructions_give_the_bits_of_what_they_replace(
    dtype: str, flush: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = join(np.array(_EDGES), even(-760, 760, 3000), even(-110, 90, 3000), decades(-5, 3))
    with np.errstate(over="ignore"):
        x = few.astype(dtype)

    def f(x: Any) -> Any:
        return np.exp(x), np.exp2(x), np.sinh(x), np.cosh(x), ft.scipy.special.erfc(x), 1.5**x

    def bits() -> Any:
        text = ft.jit(f).lower(x).as_text("llvm")
        assert ("scalef" in text) == cpu.wide_vectors()
        return [np.array(y).view(f"u{y.itemsize}") for y in ft.jit(f)(x)]

    with ft.config.override(flush_subnormals=flush):
        native = bits()
        monkeypatch.setattr(cpu, "wide_vectors", lambda: False)
        build.clear_caches()
        np.testing.assert_array_equal(native, bits(), strict=True)
    build.clear_caches()


@pytest.mark.parametrize("name", sorted(RULES))
def test_a_short_loop_gives_the_bits_of_a_long_one(name: str) -> None:
    few = join(even(-3, 3, 20), decades(-5, 12, 20))
    xs = [few, few[::-1].copy()][: MATH_ARITY[name]]
    for dtype in accuracy.DTYPES:
        args = [x.astype(dtype) for x in xs]
        whole = evaluate(name, *args)
        for n in (1, 7, 9, 17, 31):
            np.testing.assert_array_equal(evaluate(name, *(x[:n] for x in args)), whole[:n])


@pytest.mark.parametrize("dtype", accuracy.DTYPES)
@pytest.mark.parametrize("name", sorted(RULES))
def test_loops_over_functions_vectorise(name: str, dtype: str) -> None:
    source = llvm_printer.kernel_module(kernel(name, dtype, MATH_ARITY[name]))
    with machine.optimised(source, machine.new_machine()) as module:
        text = str(module.get_function("kernel"))
    lanes = {"float64": "<8 x double>", "float32": "<16 x float>"}[dtype]
    assert f"fma.v{lanes[1:].partition(' ')[0]}" in text
    # Nothing is done lane by lane, and nothing called but the C library for huge angles.
    assert not re.search(r"= f(mul|add|sub|div) (double|float) |@vm\.", text)
    assert bool(re.search(r"@c\.", text)) == (name in ("sin", "cos", "tan", "fmod"))


COMPLEX: dict[str, Callable[..., Any]] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "sqrt": np.sqrt,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "logistic": lambda z: 1 / (1 + np.exp(-z)),
}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", sorted(COMPLEX))
def test_complex_functions_are_numpys(name: str, dtype: str) -> None:
    z = join(
        even(-3, 3, 200) + 1j * even(-3, 3, 200), decades(-6, 1, 100) + 1j * decades(-6, 1, 100)
    ).astype(dtype)
    exact = COMPLEX[name](z.astype(np.complex128))
    error = np.abs(evaluate(name, z) - exact) / np.abs(exact)
    assert error.max() <= 16 * np.finfo(dtype).eps


def test_complex_cuts_keep_their_sides() -> None:
    re, im = np.repeat([-3.0, -1.0, -0.5, 0.5, 1.0, 3.0], 2), np.tile([0.0, -0.0], 6)
    z = np.empty(12, complex)
    z.real, z.imag = re, im
    for name in ("sqrt", "log", "asin", "acos", "acosh", "atanh"):
        with np.errstate(all="ignore"):
            np.testing.assert_allclose(evaluate(name, z), COMPLEX[name](z), rtol=1e-14, atol=1e-15)


def test_complex_powers() -> None:
    z = even(-3, 3) + 1j * even(-3, 3)
    w = even(-3, 3) + 1j * even(-3, 3)
    np.testing.assert_allclose(evaluate("pow", z, w), z**w, rtol=1e-13)
    whole = np.array([0, 1, 2, 3, 2, 0], complex)
    base = np.array([5j, 2 + 1j, 1 + 2j, 1 - 1j, 0, 0])
    np.testing.assert_allclose(evaluate("pow", base, whole), base**whole, rtol=1e-15)
