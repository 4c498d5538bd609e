"""The mathematics of kernels: error bounds in ulp, special values, and the printers' agreement."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import mpmath as mp
import numpy as np
import pytest
import scipy.special as sc

from functrace.compiler.emit import emit_llvm
from functrace.compiler.ir.builder import KernelBuilder
from functrace.compiler.ir.kernel import MATH_ARITY, Kernel
from functrace.compiler.ir.vecmath import RULES
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


LOGS = join(
    decades(-307, 308, signs=False),
    even(0.5, 2),
    1 + decades(-15, -1),
    decades(-323, -308, 40, signs=False),
)
UNIT = join(even(-1, 1), decades(-20, -1), 1 - decades(-16, -1, signs=False))
ANGLES = join(
    even(-10, 10), even(-1e6, 1e6), decades(-20, 0), even(-1e9, 1e9, 30), np.pi * np.arange(1, 99)
)
Reference = Callable[..., Any]

# name: reference, samples, bound in ulp (float64).
CASES: dict[str, tuple[Reference, Any, float]] = {
    "exp": (mp.exp, join(even(-745, 709.7), even(-1, 1), decades(-20, 2.8)), 1.0),
    "exp2": (lambda x: mp.power(2, x), join(even(-1074, 1024), even(-1, 1)), 1.3),
    "expm1": (mp.expm1, join(even(-40, 709), even(-1.5, 1.5), decades(-20, 1)), 2.0),
    "log": (mp.log, LOGS, 1.0),
    "log2": (lambda x: mp.log(x) / mp.log(2), LOGS, 1.0),
    "log10": (lambda x: mp.log(x) / mp.log(10), LOGS, 1.0),
    "log1p": (mp.log1p, join(decades(-20, 308, signs=False), even(-0.999, 2), decades(-20, -1)), 1),
    "logistic": (lambda x: 1 / (1 + mp.exp(-x)), join(even(-745, 40), even(-3, 3)), 2.2),
    "tanh": (mp.tanh, join(even(-22, 22), even(-1, 1), decades(-20, 1)), 2.5),
    "sinh": (mp.sinh, join(even(-710, 710), even(-2, 2), decades(-20, 1), even(20, 24)), 2.6),
    "cosh": (mp.cosh, join(even(-710, 710), even(-2, 2), even(20, 24)), 1.6),
    "sin": (mp.sin, ANGLES, 1.0),
    "cos": (mp.cos, ANGLES, 1.0),
    "tan": (mp.tan, ANGLES, 2.2),
    "asin": (mp.asin, UNIT, 2.5),
    "acos": (mp.acos, UNIT, 1.5),
    "atan": (mp.atan, join(even(-3, 3), decades(-20, 20)), 1.5),
    "asinh": (mp.asinh, join(even(-3, 3), decades(-20, 300)), 1.6),
    "acosh": (mp.acosh, join(even(1, 3), 1 + decades(-15, 0, signs=False)), 2.0),
    "atanh": (mp.atanh, UNIT, 1.6),
    "erf": (mp.erf, join(even(-6, 6), even(-1, 1), decades(-20, 0)), 2.6),
    "erfc": (mp.erfc, join(even(-6, 27), even(-1, 1), decades(-20, 0), even(20, 26.5)), 4.0),
    "erf_inv": (mp.erfinv, UNIT, 5.0),
    "cbrt": (lambda x: mp.sign(x) * mp.cbrt(abs(x)), join(decades(-308, 308), even(-9, 9)), 1.0),
    "lgamma": (lambda x: mp.log(abs(mp.gamma(x))), even(3, 1e3), 3.0),
    "digamma": (mp.digamma, join(even(2, 20), decades(-5, 0, signs=False), decades(1, 9)), 16.0),
    "atan2": (
        mp.atan2,
        (join(decades(-10, 10), even(-2, 2)), join(decades(-10, 10), even(-2, 2))),
        2.2,
    ),
    "hypot": (
        mp.hypot,
        (join(decades(-300, 300), even(-2, 2)), join(decades(-300, 300), even(-2, 2))),
        1.2,
    ),
    "pow": (
        mp.power,
        (join(decades(-300, 300, signs=False), even(0.5, 2)), join(even(-1, 1), even(-700, 700))),
        1.3,
    ),
}


def worst_ulp(name: str, reference: Reference, xs: list[Any], got: Any) -> float:
    info = np.finfo(got.dtype)
    worst = 0.0
    with mp.workprec(200):
        for k in range(len(got)):
            want = reference(*(mp.mpf(float(x[k])) for x in xs))
            if isinstance(want, mp.mpc) or abs(want) > float(info.max) * 0.999999:
                continue
            near = np.abs(got.dtype.type(float(want)))
            place = float(np.spacing(min(near, info.max)))
            worst = max(worst, float(abs(mp.mpf(float(got[k])) - want) / place))
    return worst


@pytest.mark.parametrize("name", sorted(CASES))
def test_errors_stay_within_their_bounds(name: str) -> None:
    reference, samples, bound = CASES[name]
    xs = list(samples) if isinstance(samples, tuple) else [samples]
    if name == "digamma":
        xs = [np.abs(xs[0])]
    assert worst_ulp(name, reference, xs, evaluate(name, *xs)) <= bound
    with np.errstate(all="ignore"):
        narrow = [x.astype(np.float32) for x in xs]
    fits = np.all([np.isfinite(x) for x in narrow], axis=0)
    narrow = [x[fits] for x in narrow]
    low = 1.0 if name == "digamma" else 0.6
    assert worst_ulp(name, reference, narrow, evaluate(name, *narrow)) <= low


def test_every_function_is_tested() -> None:
    assert set(CASES) | {"sqrt"} == set(MATH_ARITY)
    assert set(RULES) | {"sqrt", "lgamma"} == set(MATH_ARITY)


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
    np.testing.assert_allclose(got[away], want[away], rtol=tolerance)
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


@pytest.mark.parametrize("name", ["exp", "log1p", "sin", "pow", "tanh", "erf", "digamma"])
def test_numba_gives_the_same_bits(name: str) -> None:
    few = join(np.array(_EDGES), even(-3, 3, 300), decades(-5, 12, 300))
    xs = [few, few[::-1].copy()][: MATH_ARITY[name]]
    np.testing.assert_array_equal(evaluate(name, *xs), evaluate(name, *xs, how="numba"))


@pytest.mark.parametrize("name", sorted(RULES))
def test_loops_over_functions_vectorise(name: str) -> None:
    import llvmlite.binding as llvm

    from functrace.compiler.runtime import build

    k = kernel(name, "float64", MATH_ARITY[name])
    module = llvm.parse_assembly(emit_llvm.kernel_module(k))
    options = llvm.create_pipeline_tuning_options(3)
    options.loop_vectorization, options.slp_vectorization = True, False
    passes = llvm.create_pass_builder(build._machine(), options)
    passes.getModulePassManager().run(module, passes)
    assert "load <" in str(module.get_function("kernel"))


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
