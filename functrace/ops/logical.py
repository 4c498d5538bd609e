"""Comparisons, classification, and the choice between arrays: eq ... ge, is_nan, select_n."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Elementwise
from functrace.core.placeholders import is_linear
from functrace.core.trace import Primitive
from functrace.errors import DTypeError, compose
from functrace.ops.broadcasting import broadcast_to, unbroadcast
from functrace.ops.families import ANY, FLOATING, check_dtypes, comparison, elementwise_shape

__all__ = [
    "eq",
    "ge",
    "gt",
    "is_finite",
    "is_inf",
    "is_nan",
    "le",
    "lt",
    "ne",
    "select",
    "select_n",
    "signbit",
]

# --- comparisons -------------------------------------------------------------------------------

eq_p = comparison("eq", np.equal, ANY, Elementwise(lambda b, x, y: b.eq(x, y)))
ne_p = comparison("ne", np.not_equal, ANY, Elementwise(lambda b, x, y: b.ne(x, y)))


def _ordering(number: Callable[..., Any], boolean: Callable[..., Any]) -> Elementwise:
    """Return the lowering of an order: kernels order numbers only, so booleans use logic."""

    def rule(b: Any, x: Any, y: Any) -> Any:
        return boolean(b, x, y) if x.dtype.kind == "b" else number(b, x, y)

    return Elementwise(rule)


lt_p = comparison(
    "lt",
    np.less,
    ANY,
    _ordering(lambda b, x, y: b.lt(x, y), lambda b, x, y: b.and_(b.not_(x), y)),
)
le_p = comparison(
    "le",
    np.less_equal,
    ANY,
    _ordering(lambda b, x, y: b.le(x, y), lambda b, x, y: b.or_(b.not_(x), y)),
)
gt_p = comparison(
    "gt",
    np.greater,
    ANY,
    _ordering(lambda b, x, y: b.gt(x, y), lambda b, x, y: b.and_(x, b.not_(y))),
)
ge_p = comparison(
    "ge",
    np.greater_equal,
    ANY,
    _ordering(lambda b, x, y: b.ge(x, y), lambda b, x, y: b.or_(x, b.not_(y))),
)


def eq(x: Any, y: Any) -> Any:
    """Whether each element of ``x`` equals that of ``y``; NaN equals nothing."""
    return eq_p.bind(x, y)


def ne(x: Any, y: Any) -> Any:
    """Whether each element of ``x`` differs from that of ``y``."""
    return ne_p.bind(x, y)


def lt(x: Any, y: Any) -> Any:
    """Whether ``x < y``, element by element; complex numbers by real, then imaginary part."""
    return lt_p.bind(x, y)


def le(x: Any, y: Any) -> Any:
    """Whether ``x <= y``, element by element; complex numbers by real, then imaginary part."""
    return le_p.bind(x, y)


def gt(x: Any, y: Any) -> Any:
    """Whether ``x > y``, element by element; complex numbers by real, then imaginary part."""
    return gt_p.bind(x, y)


def ge(x: Any, y: Any) -> Any:
    """Whether ``x >= y``, element by element; complex numbers by real, then imaginary part."""
    return ge_p.bind(x, y)


# --- classification ----------------------------------------------------------------------------

is_finite_p = comparison("is_finite", np.isfinite, ANY, Elementwise(lambda b, x: b.is_finite(x)))
is_nan_p = comparison("is_nan", np.isnan, ANY, Elementwise(lambda b, x: b.is_nan(x)))
is_inf_p = comparison("is_inf", np.isinf, ANY, Elementwise(lambda b, x: b.is_inf(x)))
signbit_p = comparison("signbit", np.signbit, FLOATING, Elementwise(lambda b, x: b.signbit(x)))


def is_finite(x: Any) -> Any:
    """Whether each element is neither infinite nor NaN."""
    return is_finite_p.bind(x)


def is_nan(x: Any) -> Any:
    """Whether each element is NaN."""
    return is_nan_p.bind(x)


def is_inf(x: Any) -> Any:
    """Whether each element is infinite."""
    return is_inf_p.bind(x)


def signbit(x: Any) -> Any:
    """Whether the sign bit of each element is set; it is for -0.0."""
    return signbit_p.bind(x)


# --- select_n ----------------------------------------------------------------------------------

select_n_p = Primitive("select_n", elementwise=True)


@select_n_p.def_impl
def _select_n_impl(which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        mask = which if which.dtype.kind == "b" else which != 0
        return np.where(mask, cases[1], cases[0])[()]
    out = cases[0]
    for i, case in enumerate(cases[1:], start=1):
        out = np.where(which >= i, case, out)[()]
    return out


@select_n_p.def_abstract_eval
def _select_n_type(which: ShapedArray, *cases: ShapedArray) -> ShapedArray:
    boolean = which.dtype.kind == "b"
    if not boolean and which.dtype != np.int32 and which.dtype != np.int64:
        raise DTypeError(
            compose(
                f"select_n got a selector of type {which}.",
                "it is boolean, int32 or int64.",
                "convert it with .astype(...).",
            )
        )
    if not cases or (boolean and len(cases) > 2):
        raise DTypeError(f"select_n can't choose among {len(cases)} cases by {which}.")
    check_dtypes("select_n", ANY, cases)
    return ShapedArray(elementwise_shape("select_n", (which, *cases)), cases[0].dtype)


@select_n_p.def_jvp
def _select_n_jvp(primals: Sequence[Any], tangents: Sequence[Any]) -> Any:
    which = primals[0]
    out = select_n_p.bind(*primals)
    if all(t is None for t in tangents):
        return out, None
    zero = out.dtype.type(0)
    tangent = select_n_p.bind(which, *(zero if t is None else t for t in tangents[1:]))
    # Only 0-d operands may move; their tangent is as large as the rest of the operands.
    moving = [x for x, t in zip(primals[1:], tangents[1:]) if t is not None]
    if not any(shape_of(x) == out.shape for x in (which, *moving)):
        tangent = broadcast_to(tangent, out.shape)
    return out, tangent


@select_n_p.def_transpose
def _select_n_transpose(ct: Any, which: Any, *cases: Any) -> Any:
    zero = ct.dtype.type(0)
    cts: list[Any] = [None]
    for i, case in enumerate(cases):
        if not is_linear(case):
            cts.append(None)
            continue
        mine = [ct if j == i else zero for j in range(len(cases))]
        cts.append(unbroadcast(select_n_p.bind(which, *mine), case))
    return cts


@select_n_p.def_batching
def _select_n_batching(size: int, args: Sequence[Any], dims: Sequence[Any]) -> Any:
    return select_n_p.bind(*args), next(d for d in dims if d is not None)


def _select_n_lowering(b: Any, which: Any, *cases: Any) -> Any:
    if len(cases) == 2:
        mask = which if which.dtype.kind == "b" else b.ne(which, 0)
        return b.select(mask, cases[1], cases[0])
    out = cases[0]
    for i, case in enumerate(cases[1:], start=1):
        out = b.select(b.ge(which, i), case, out)
    return out


select_n_p.def_lowering(Elementwise(_select_n_lowering))


def select_n(which: Any, *cases: Any) -> Any:
    """Choose each element from ``cases`` by number: False is 0, True is 1.

    Args:
        which: booleans (for one or two cases), int32 or int64; numbers of no case are unspecified.
        cases: arrays of one dtype.
    """
    return select_n_p.bind(which, *cases)


def select(pred: Any, on_true: Any, on_false: Any) -> Any:
    """Choose each element from ``on_true`` where ``pred``, else from ``on_false``."""
    return select_n_p.bind(pred, on_false, on_true)
