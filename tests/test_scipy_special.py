"""functrace.scipy.special: SciPy's on plain arrays, and the same values and dtypes when traced."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import scipy.special
from function_checks import assert_same, check_derivative, check_traced, check_vmap, staged

import functrace
from functrace.scipy import special

WIDE = np.array([-30.0, -12.0, -3.3, -0.7, -1e-3, 0.2, 1.1, 2.9, 9.5, 31.0])
UNIT = np.array([1e-12, 0.05, 0.31, 0.4999, 0.5, 0.51, 0.64, 0.66, 0.93])
POSITIVE = np.array([1e-3, 0.4, 1.0, 1.7, 5.2, 40.0])

UNARY = {
    "erf": WIDE,
    "erfc": WIDE,
    "erfinv": 2 * UNIT[1:-1] - 1,
    "expit": WIDE,
    "log_expit": WIDE,
    "logit": UNIT,
    "ndtr": WIDE,
    "log_ndtr": WIDE,
    "gammaln": POSITIVE,
    "digamma": POSITIVE,
    "psi": POSITIVE,
    "entr": POSITIVE,
    "expm1": WIDE,
    "log1p": POSITIVE,
    "exp2": WIDE,
    "cbrt": WIDE,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    fun, x = getattr(special, name), UNARY[name]
    check_traced(fun, x, rtol=1e-12)
    np.testing.assert_allclose(staged(fun, x), fun(x), rtol=2e-13)
    check_traced(fun, x.astype(np.float32))
    check_traced(fun, x.astype(np.float16))
    check_vmap(fun, 0.5 + 0.0 * x if name == "logit" else np.clip(x, -5, 5) if x is WIDE else x[2:])
    moderate = x[np.abs(x) < 25]
    check_derivative(fun, moderate[1:] if name in ("logit",) else moderate, rtol=2e-4)


@pytest.mark.parametrize("name", ["erf", "expit", "gammaln", "ndtr", "log_ndtr", "logit"])
def test_integers_and_special_values(name: str) -> None:
    fun = getattr(special, name)
    check_traced(fun, np.array([1, 2], np.int8))
    check_traced(fun, np.array([1, 2]))
    check_traced(fun, np.array([np.nan, np.inf, 0.0]))
    if name != "gammaln":  # SciPy's has another sign than C's at -inf
        check_traced(fun, np.array([-np.inf]))


def test_tails_of_log_ndtr() -> None:
    x = np.array([-1e10, -300.0, -40.0, -20.001, -19.999, -1.0, 0.0, 5.0, 9.0, 30.0])
    np.testing.assert_allclose(staged(special.log_ndtr, x), scipy.special.log_ndtr(x), rtol=1e-13)
    slope = functrace.grad(lambda x: special.log_ndtr(x).sum())(x)
    assert np.all(np.isfinite(slope))
    np.testing.assert_allclose(slope[:3], -x[:3], rtol=1e-3)


def test_products_with_logarithms() -> None:
    x = np.array([0.0, 0.0, 0.0, 0.0, 1.5, np.nan, 0.0, 2.0])
    y = np.array([0.0, -1.0, np.inf, 2.0, 2.0, 0.0, np.nan, 0.0])
    for name in ("xlogy", "xlog1py", "rel_entr", "kl_div"):
        fun = getattr(special, name)
        check_traced(fun, x, y)
        check_derivative(fun, POSITIVE, POSITIVE[::-1].copy(), rtol=1e-4)
    check_traced(special.rel_entr, np.array([-1.0, 1.0, 0.0]), np.array([1.0, -1.0, 0.0]))
    check_traced(special.entr, np.array([-1.0, 0.0, 2.0, np.nan]))
    check_traced(lambda x: special.xlogy(x, 3), POSITIVE.astype(np.float32))
    check_traced(lambda x: special.xlogy(x[:, None], x), POSITIVE)
    dx, dy = functrace.grad(special.xlogy, argnums=(0, 1))(0.0, 2.0)
    np.testing.assert_allclose([dx, dy], [np.log(2.0), 0.0])
    assert functrace.grad(special.xlogy, argnums=(0, 1))(0.0, 0.0) == (0.0, 0.0)
    assert np.isfinite(functrace.grad(special.entr)(0.0))


def test_gamma_functions() -> None:
    for n in (0, 1, 2):
        check_traced(lambda x, n=n: special.polygamma(n, x), POSITIVE)
    check_derivative(lambda x: special.polygamma(1, x), POSITIVE[1:], rtol=1e-4)
    check_traced(special.betaln, POSITIVE, POSITIVE[::-1].copy())
    check_derivative(special.betaln, POSITIVE[1:], POSITIVE[:0:-1].copy(), rtol=1e-4)
    check_traced(lambda a: special.multigammaln(a, 3), POSITIVE[3:])


def test_sums_of_exponentials() -> None:
    x = np.random.default_rng(0).standard_normal((3, 4))
    b = np.random.default_rng(1).standard_normal((3, 4))
    check_traced(lambda x: special.logsumexp(x, axis=1), x)
    check_traced(lambda x: special.logsumexp(x, b=abs(b), keepdims=True), x)
    check_traced(lambda x: special.logsumexp(x, 0, b, return_sign=True), x)
    check_traced(lambda x: special.softmax(x, axis=0), x)
    check_traced(lambda x: special.log_softmax(x), x)
    check_derivative(lambda x: special.logsumexp(x, axis=1), x)


def test_plain_arguments_are_scipys() -> None:
    assert_same(special.erf([0.5, 1]), scipy.special.erf([0.5, 1]))
    out = np.empty(2)
    assert special.erf(np.ones(2), out=out) is out


def test_scipy_is_imported_when_first_used() -> None:
    code = """
import functrace, numpy, sys
from functrace.scipy import special
for x in (numpy.ones(3), numpy.ones(3, "f"), numpy.float32(1)):
    trace = functrace.make_jaxpr(functrace.grad(lambda x: special.erf(x).sum() * 2.0))
    trace(x), functrace.make_jaxpr(lambda x: special.xlogy(x, special.ndtr(x)))(x)
assert 'scipy' not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)


UFUNCS = [n for n in special.__all__ if isinstance(getattr(scipy.special, n), np.ufunc)]


@pytest.mark.parametrize("name", UFUNCS)
@pytest.mark.parametrize("char", "fd")
def test_types_are_scipys_where_scipy_is_not_asked(name: str, char: str) -> None:
    ufunc, dtype = getattr(scipy.special, name), np.dtype(char)
    assert ufunc.resolve_dtypes((dtype,) * ufunc.nin + (None,)) == (dtype,) * (ufunc.nin + 1)
