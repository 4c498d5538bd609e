"""Exponentials and logarithms: exp, exp2, expm1, log, log1p, log2, log10, logistic."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.core.trace import Primitive
from functrace.ops.arithmetic import NOT_LINEAR, add, div, mul, neg
from functrace.ops.families import FLOATING, INEXACT, unary

__all__ = ["exp", "exp2", "expm1", "log", "log1p", "log2", "log10", "logistic"]

LN_2 = math.log(2.0)
LN_10 = math.log(10.0)


def math_unary(name: str, impl: Any, dtypes: str) -> Primitive:
    """Return the primitive of one of the kernels' mathematical functions, of the same name."""
    lowering = Elementwise(lambda b, x: b.math(name, x))
    return unary(name, impl, dtypes, lowering, not_linear=NOT_LINEAR)


# --- exponentials ------------------------------------------------------------------------------

exp_p = math_unary("exp", np.exp, INEXACT)
exp2_p = math_unary("exp2", np.exp2, FLOATING)
expm1_p = math_unary("expm1", np.expm1, INEXACT)

exp_p.def_jvp_each(lambda t, out, x: mul(t, out))
exp2_p.def_jvp_each(lambda t, out, x: mul(t, mul(out, LN_2)))
expm1_p.def_jvp_each(lambda t, out, x: mul(t, add(out, 1.0)))


def exp(x: Any) -> Any:
    """``e ** x``, element by element."""
    return exp_p.bind(x)


def exp2(x: Any) -> Any:
    """``2 ** x``, element by element."""
    return exp2_p.bind(x)


def expm1(x: Any) -> Any:
    """``exp(x) - 1`` without loss of precision near 0."""
    return expm1_p.bind(x)


# --- logarithms --------------------------------------------------------------------------------

log_p = math_unary("log", np.log, INEXACT)
log1p_p = math_unary("log1p", np.log1p, INEXACT)
log2_p = math_unary("log2", np.log2, INEXACT)
log10_p = math_unary("log10", np.log10, INEXACT)

log_p.def_jvp_each(lambda t, out, x: div(t, x))
log1p_p.def_jvp_each(lambda t, out, x: div(t, add(x, 1.0)))
log2_p.def_jvp_each(lambda t, out, x: div(t, mul(x, LN_2)))
log10_p.def_jvp_each(lambda t, out, x: div(t, mul(x, LN_10)))


def log(x: Any) -> Any:
    """Natural logarithm of each element; NaN for negative ones."""
    return log_p.bind(x)


def log1p(x: Any) -> Any:
    """``log(1 + x)`` without loss of precision near 0."""
    return log1p_p.bind(x)


def log2(x: Any) -> Any:
    """Logarithm to base 2 of each element."""
    return log2_p.bind(x)


def log10(x: Any) -> Any:
    """Logarithm to base 10 of each element."""
    return log10_p.bind(x)


# --- logistic ----------------------------------------------------------------------------------


def _logistic_impl(x: Any) -> Any:
    """Never take the exponential of a number with a positive real part: no overflow."""
    positive = x.real >= 0
    e = np.exp(np.where(positive, -x, x))
    return (np.where(positive, 1, e) / (1 + e))[()]


logistic_p = math_unary("logistic", _logistic_impl, INEXACT)
# logistic' = logistic(x) (1 - logistic(x)), and 1 - logistic(x) = logistic(-x), which is exact.
logistic_p.def_jvp_each(lambda t, out, x: mul(t, mul(out, logistic(neg(x)))))


def logistic(x: Any) -> Any:
    """``1 / (1 + exp(-x))``, the sigmoid, without overflow."""
    return logistic_p.bind(x)
