"""Arithmetic: add, sub, mul, div, neg; max, min and clamp; copy and stop_gradient."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np

from functrace.core.lowering import Elementwise
from functrace.core.placeholders import is_linear
from functrace.ops.broadcasting import unbroadcast
from functrace.ops.families import ANY, INEXACT, NUMERIC, binary, nary, unary
from functrace.ops.logical import eq, ge, le, select

__all__ = ["add", "clamp", "copy", "div", "max", "min", "mul", "neg", "stop_gradient", "sub"]

NOT_LINEAR = "it is not linear in any argument"

# --- neg ---------------------------------------------------------------------------------------

neg_p = unary("neg", operator.neg, NUMERIC, Elementwise(lambda b, x: b.neg(x)))


@neg_p.def_jvp_each
def _neg_jvp(t: Any, out: Any, x: Any) -> Any:
    return neg(t)


@neg_p.def_transpose
def _neg_transpose(ct: Any, x: Any) -> Any:
    return [neg(ct)]


def neg(x: Any) -> Any:
    """Negative of each element."""
    return neg_p.bind(x)


# --- add ---------------------------------------------------------------------------------------

add_p = binary("add", operator.add, NUMERIC, Elementwise(lambda b, x, y: b.add(x, y)))


def _add_jvp(t: Any, out: Any, x: Any, y: Any) -> Any:
    return t


add_p.def_jvp_each(_add_jvp, _add_jvp)


@add_p.def_transpose
def _add_transpose(ct: Any, x: Any, y: Any) -> Any:
    return [
        unbroadcast(ct, x) if is_linear(x) else None,
        unbroadcast(ct, y) if is_linear(y) else None,
    ]


def add(x: Any, y: Any) -> Any:
    """Sum of two arrays, element by element."""
    return add_p.bind(x, y)


# --- sub ---------------------------------------------------------------------------------------

sub_p = binary("sub", operator.sub, NUMERIC, Elementwise(lambda b, x, y: b.sub(x, y)))
sub_p.def_jvp_each(
    lambda t, out, x, y: t,
    lambda t, out, x, y: neg(t),
)


@sub_p.def_transpose
def _sub_transpose(ct: Any, x: Any, y: Any) -> Any:
    return [
        unbroadcast(ct, x) if is_linear(x) else None,
        unbroadcast(neg(ct), y) if is_linear(y) else None,
    ]


def sub(x: Any, y: Any) -> Any:
    """Difference of two arrays, element by element."""
    return sub_p.bind(x, y)


# --- mul ---------------------------------------------------------------------------------------

mul_p = binary("mul", operator.mul, NUMERIC, Elementwise(lambda b, x, y: b.mul(x, y)))
mul_p.def_jvp_each(
    lambda t, out, x, y: mul(t, y),
    lambda t, out, x, y: mul(x, t),
)


@mul_p.def_transpose
def _mul_transpose(ct: Any, x: Any, y: Any) -> Any:
    if is_linear(x):
        return [unbroadcast(mul(ct, y), x), None]
    return [None, unbroadcast(mul(x, ct), y)]


def mul(x: Any, y: Any) -> Any:
    """Product of two arrays, element by element."""
    return mul_p.bind(x, y)


# --- div ---------------------------------------------------------------------------------------

div_p = binary("div", np.true_divide, INEXACT, Elementwise(lambda b, x, y: b.div(x, y)))
div_p.def_jvp_each(
    lambda t, out, x, y: div(t, y),
    lambda t, out, x, y: mul(neg(t), div(out, y)),
)


@div_p.def_transpose
def _div_transpose(ct: Any, x: Any, y: Any) -> Any:
    return [unbroadcast(div(ct, y), x), None]


def div(x: Any, y: Any) -> Any:
    """Quotient of two inexact arrays, element by element."""
    return div_p.bind(x, y)


# --- max and min -------------------------------------------------------------------------------
#
# Where the operands tie, each gets half of the derivative. The tangent is selected, not multiplied
# by zero, so that infinities on the side that lost do no harm.


def _winning(t: Any, out: Any, x: Any, y: Any) -> Any:
    """Return the tangent of ``out = max(x, y)`` when ``x`` moves by ``t``."""
    return _halved_at_ties(select(ge(x, y), t, out.dtype.type(0)), out, x, y)


def _losing(t: Any, out: Any, x: Any, y: Any) -> Any:
    """Return the tangent of ``out = min(x, y)`` when ``x`` moves by ``t``."""
    return _halved_at_ties(select(le(x, y), t, out.dtype.type(0)), out, x, y)


def _halved_at_ties(t: Any, out: Any, x: Any, y: Any) -> Any:
    kind = out.dtype.type
    return mul(t, select(eq(x, y), kind(0.5), kind(1)))


max_p = binary(
    "max",
    np.maximum,
    ANY,
    Elementwise(lambda b, x, y: b.maximum(x, y)),
    not_linear=NOT_LINEAR,
)
max_p.def_jvp_each(
    lambda t, out, x, y: _winning(t, out, x, y),
    lambda t, out, x, y: _winning(t, out, y, x),
)


def max(x: Any, y: Any) -> Any:
    """The larger of each two elements; NaN where either is."""
    return max_p.bind(x, y)


min_p = binary(
    "min",
    np.minimum,
    ANY,
    Elementwise(lambda b, x, y: b.minimum(x, y)),
    not_linear=NOT_LINEAR,
)
min_p.def_jvp_each(
    lambda t, out, x, y: _losing(t, out, x, y),
    lambda t, out, x, y: _losing(t, out, y, x),
)


def min(x: Any, y: Any) -> Any:
    """The smaller of each two elements; NaN where either is."""
    return min_p.bind(x, y)


# --- clamp -------------------------------------------------------------------------------------


def _clamp_impl(low: Any, x: Any, high: Any) -> Any:
    return np.minimum(np.maximum(x, low), high)


clamp_p = nary(
    "clamp",
    _clamp_impl,
    ANY,
    Elementwise(lambda b, low, x, high: b.minimum(b.maximum(x, low), high)),
    not_linear=NOT_LINEAR,
)


def _clamp_jvp_low(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
    return _losing(_winning(t, out, low, x), out, max(low, x), high)


def _clamp_jvp_x(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
    return _losing(_winning(t, out, x, low), out, max(low, x), high)


def _clamp_jvp_high(t: Any, out: Any, low: Any, x: Any, high: Any) -> Any:
    return _losing(t, out, high, max(low, x))


clamp_p.def_jvp_each(_clamp_jvp_low, _clamp_jvp_x, _clamp_jvp_high)


def clamp(min: Any, x: Any, max: Any) -> Any:
    """Put each element between ``min`` and ``max``; ``max`` wins where they cross."""
    return clamp_p.bind(min, x, max)


# --- copy and stop_gradient --------------------------------------------------------------------

copy_p = unary(
    "copy",
    lambda x: x.copy()[()],
    ANY,
    Elementwise(lambda b, x: x),
    not_linear="it is applied to no tangent",
)


@copy_p.def_jvp_each
def _copy_jvp(t: Any, out: Any, x: Any) -> Any:
    return t


def copy(x: Any) -> Any:
    """The same values in memory of their own."""
    return copy_p.bind(x)


stop_gradient_p = unary(
    "stop_gradient",
    lambda x: x,
    ANY,
    Elementwise(lambda b, x: x),
    not_differentiable="its derivative is zero by definition",
)


def stop_gradient(x: Any) -> Any:
    """The same values, of which every derivative is zero."""
    return stop_gradient_p.bind(x)
