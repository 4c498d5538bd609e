"""Calls of NumPy's functions, by name: what the tests of functrace.numpy run over.

A case is a function of a namespace (NumPy, or functrace.numpy) and arrays, so the same call gives
the value that is expected and the value that is tested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["CASES", "Case", "names"]

FLOATS = "efd"
NUMBERS = "bhilBHIL" + FLOATS
EVERYTHING = "?" + NUMBERS


@dataclass(frozen=True)
class Case:
    """One call.

    Attributes:
        name: the name of the function in NumPy.
        call: the call, given a namespace and the arrays.
        args: the arrays.
        diff: whether it is compared with finite differences (the output must be inexact).
        batch: whether ``vmap`` is compared with a loop.
        dtypes: the dtypes, as characters, in which the value and its dtype are compared.
        rtol: how near values in float64 must be.
    """

    name: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    diff: bool = True
    batch: bool = True
    dtypes: str = "fd"
    rtol: float = 1e-12


CASES: list[Case] = []


def case(name: str, call: Callable[..., Any], *args: Any, **options: Any) -> None:
    """Add a case."""
    arrays = tuple(np.asarray(a) for a in args)
    CASES.append(Case(name, call, arrays, **options))


def each(names_: str, *args: Any, **options: Any) -> None:
    """Add the call ``np.name(*args)`` for each name."""
    for name in names_.split():
        case(name, _plain_call(name), *args, **options)


def _plain_call(name: str) -> Callable[..., Any]:
    return lambda np, *args: getattr(np, name)(*args)


def names() -> list[str]:
    """Return the names that have a case."""
    return list(dict.fromkeys(c.name for c in CASES))


X = np.array([0.7, -1.3, 2.1, 0.4])
Y = np.array([1.9, 0.8, -0.6, 1.2])
P = np.array([0.5, 1.3, 2.2, 3.7])
U = np.array([0.1, -0.6, 0.85, 0.3])
M = np.array([[0.7, -1.3, 2.1], [1.9, 0.8, -0.6]])
N = np.array([[1.1, 0.3, -0.9], [-0.2, 2.4, 0.6]])
T3 = (np.arange(24.0).reshape(2, 3, 4) * 7.0) % 5.3 - 1.9
I4 = np.array([2, 0, 3, 1])
B4 = np.array([True, False, True, False])

# --- element by element ------------------------------------------------------------------------

each("sin cos arctan atan sinh cosh tanh arcsinh asinh exp exp2 expm1", X, dtypes=EVERYTHING)
each("tan degrees radians rad2deg deg2rad cbrt fabs", X, dtypes=EVERYTHING)
each("arcsin asin arccos acos arctanh atanh", U, dtypes="?bhf" + FLOATS)
each("arccosh acosh", P + 1.0, dtypes=EVERYTHING)
each("log log2 log10 log1p sqrt", P, dtypes=NUMBERS)
each("reciprocal", P * 2.5, dtypes=NUMBERS)
each("square negative positive absolute abs", P, dtypes=NUMBERS)
each("sign floor ceil trunc rint fix round around", X, dtypes=NUMBERS)
each("conj conjugate real imag angle", X, dtypes=NUMBERS)
each("conj conjugate real imag angle absolute", X + 1j * Y, dtypes="FD", diff=False)
each("add subtract multiply maximum minimum fmax fmin", X, Y, dtypes=NUMBERS)
each("add multiply maximum minimum fmax fmin", B4, ~B4, dtypes="?", diff=False)
each("divide true_divide floor_divide remainder mod fmod", X * 1.1, P * 2.5, dtypes=NUMBERS)
each("power pow", P, Y, dtypes=FLOATS)
each("power pow", I4, I4, diff=False, dtypes="bhilBHIL")
each("float_power", P, Y, dtypes=NUMBERS)
each("arctan2 atan2 hypot copysign logaddexp logaddexp2", X, Y, dtypes=NUMBERS)
each("heaviside", X, Y, dtypes=NUMBERS)
each("nextafter", X, Y, dtypes=FLOATS, diff=False)
each("spacing", X, dtypes=FLOATS, diff=False)
each("divmod", X * 1.1, P * 2.5, dtypes=NUMBERS)
each("modf", X, dtypes=NUMBERS)
case("frexp", lambda np, x: np.frexp(x)[0], X, dtypes=NUMBERS)
case("frexp", lambda np, x: np.frexp(x)[1], X, dtypes=NUMBERS, diff=False)
case("ldexp", lambda np, x: np.ldexp(x, I4 - 1), X, dtypes=FLOATS)
case("power", lambda np, x: np.power(x, 3), X, dtypes=NUMBERS)
case("power", lambda np, x: x**2 + x**-1.0 + 2.0**x, P, dtypes=FLOATS)
case("square", lambda np, x: np.square(x), X + 1j * Y, dtypes="FD", diff=False)
each("sinc", X, dtypes=NUMBERS)
each("sinc", U * 0.1)
each("i0", X * 3.0, dtypes="d")
each("equal not_equal less less_equal greater greater_equal", X, Y, dtypes=EVERYTHING, diff=False)
each("less greater_equal", X + 1j, Y + 1j, dtypes="FD", diff=False)
each("logical_and logical_or logical_xor", X, B4, dtypes=EVERYTHING, diff=False)
each("logical_not isnan isinf isfinite isreal iscomplex", X, dtypes=EVERYTHING, diff=False)
each("isnan isinf isfinite", np.array([np.nan, np.inf, -np.inf, 0.0]), dtypes=FLOATS, diff=False)
each("isposinf isneginf", np.array([np.nan, np.inf, -np.inf, 0.0]), dtypes=FLOATS, diff=False)
each("signbit", X, dtypes=NUMBERS, diff=False)
each("bitwise_and bitwise_or bitwise_xor", I4, I4[::-1], dtypes="?bhilBHIL", diff=False)
each(
    "bitwise_left_shift left_shift right_shift bitwise_right_shift",
    I4 + 5,
    I4,
    diff=False,
    dtypes="bhilBHIL",
)
each("invert bitwise_not bitwise_invert", I4, dtypes="?bhilBHIL", diff=False)
each("bitwise_count", I4 - 2, dtypes="bhil", diff=False)
each("isclose", X, X + 1e-9, diff=False)
each("allclose array_equal array_equiv", X, X, diff=False)
case("where", lambda np, x, y: np.where(x > 0.5, x, y), X, Y, dtypes=EVERYTHING)
case("where", lambda np, x: np.where(x > 0.5, x, 1.0), X, dtypes=NUMBERS)
case("select", lambda np, x, y: np.select([x > 1.0, x > 0.5], [x, y], 2.5), X, Y, dtypes=NUMBERS)
case(
    "piecewise",
    lambda np, x: np.piecewise(x, [x < 0, x >= 0], [lambda v: -v, lambda v: v * 2]),
    X,
    dtypes=FLOATS,
)
case("clip", lambda np, x: np.clip(x, -1.0, 1.0), X, dtypes=FLOATS)
case("clip", lambda np, x: np.clip(x, 1, None), X, dtypes=NUMBERS)
case("clip", lambda np, x, y: np.clip(x, min=y), X, Y)
case("round", lambda np, x: np.round(x, 1), X * 3.3, dtypes=FLOATS)
case("round", lambda np, x: np.round(x, -1), I4 * 7, dtypes="bhil", diff=False)
case(
    "nan_to_num",
    lambda np, x: np.nan_to_num(x),
    np.array([np.nan, np.inf, -np.inf, 1.5]),
    dtypes=FLOATS,
    diff=False,
)
each("nan_to_num", X, dtypes=NUMBERS)
each("real_if_close", X)
each("unwrap", X * 4.0)
case("unwrap", lambda np, x: np.unwrap(x, period=4), np.array([0, 1, 2, 3, 0, 1]), diff=False)
case("astype", lambda np, x: np.astype(x, np.float32), X, dtypes="d", rtol=1e-6, diff=False)
case("interp", lambda np, x, f: np.interp(x, P, f), np.array([0.2, 1.0, 2.5, 9.0]), Y)
case("interp", lambda np, xp: np.interp(1.7, xp, xp**2, left=-1.0), P)
case("interp", lambda np, x: np.interp(x, np.asarray([0.0, 1.0, 2.0]), Y[:3], period=3.0), X)

# --- creation ----------------------------------------------------------------------------------

each("zeros_like ones_like", np.zeros(3), dtypes=EVERYTHING)
case("empty_like", lambda np, x: np.empty_like(x) * 0, np.zeros(3), dtypes=NUMBERS)
case("full_like", lambda np, x: np.full_like(x, 3), X, dtypes=NUMBERS)
case("zeros", lambda np, x: x + np.zeros(4), X)
case("ones", lambda np, x: x + np.ones((2, 4)), X)
case("empty", lambda np, x: x + np.empty(4) * 0.0, X, diff=False)
case("full", lambda np, x: np.full((2, 4), x), X)
case("full", lambda np, x: x + np.full(4, 2.5), X)
case("array", lambda np, x: np.array([[x[0], 2.0], [x[1] * x[2], x[3]]]), X)
case("array", lambda np, x: x + np.array([1.0, 2.0, 3.0, 4.0]), X)
case("array", lambda np, x: np.array(x, ndmin=3), X)
each("asarray asanyarray ascontiguousarray asfortranarray copy", X, dtypes=EVERYTHING)
case("asarray", lambda np, x: np.asarray([x, x * 2.0]), X)
case("arange", lambda np, x: x * np.arange(4), X)
case("linspace", lambda np, x, y: np.linspace(x, y, 5), X, Y)
case("linspace", lambda np, x: np.linspace(0, x, 4, endpoint=False, axis=-1), X, dtypes=NUMBERS)
case("logspace", lambda np, x: np.logspace(x, 1.0, 4), U)
case("geomspace", lambda np, x: np.geomspace(x, 8.0, 4), P)
case("eye", lambda np, x: x * np.eye(4), X)
case("identity", lambda np, x: x * np.identity(4), X)
case("tri", lambda np, x: x * np.tri(4), X)
case("indices", lambda np, x: x * np.indices((3, 4)), X)
case("fromfunction", lambda np, x: x * np.fromfunction(lambda i: i + 1.0, (4,)), X)
case("diag", lambda np, x: np.diag(x, 1), X, dtypes=EVERYTHING)
case("diag", lambda np, x: np.diag(x, -2), X, dtypes=EVERYTHING)
case("diag", lambda np, x: np.diag(x, 1), M, dtypes=EVERYTHING)
case("diagflat", lambda np, x: np.diagflat(x), M)
case("tril", lambda np, x: np.tril(x, -1), T3, dtypes=EVERYTHING)
case("triu", lambda np, x: np.triu(x, 1), T3, dtypes=EVERYTHING)
case("vander", lambda np, x: np.vander(x, 3), X, dtypes=NUMBERS)
case("meshgrid", lambda np, x, y: np.meshgrid(x, y), X, Y[:3])
case("meshgrid", lambda np, x, y: np.meshgrid(x, y, sparse=True, indexing="ij"), X, Y[:3])
case("ix_", lambda np, x, i: np.ix_(x[i], x), X, I4, diff=False, dtypes="")

# --- shape -------------------------------------------------------------------------------------

case("reshape", lambda np, x: np.reshape(x, (3, -1)), M, dtypes=EVERYTHING)
case("reshape", lambda np, x: np.reshape(x, (3, 2), order="F"), M)
each("ravel transpose matrix_transpose permute_dims", M, dtypes=EVERYTHING)
case("transpose", lambda np, x: np.transpose(x, (2, 0, 1)), T3)
case("moveaxis", lambda np, x: np.moveaxis(x, [0, 1], [-1, 0]), T3)
case("rollaxis", lambda np, x: np.rollaxis(x, 2), T3)
case("swapaxes", lambda np, x: np.swapaxes(x, 0, -1), T3)
case("expand_dims", lambda np, x: np.expand_dims(x, (0, -1)), X)
case("squeeze", lambda np, x: np.squeeze(x), T3[:, :1])
each("atleast_1d atleast_2d atleast_3d flip", X)
each("fliplr flipud rot90", M)
case("rot90", lambda np, x: np.rot90(x, 3, (1, 2)), T3)
case("roll", lambda np, x: np.roll(x, 2), M)
case("roll", lambda np, x: np.roll(x, (1, -1), (0, 1)), M)
case("broadcast_to", lambda np, x: np.broadcast_to(x, (3, 4)), X)
case("broadcast_arrays", lambda np, x, m: np.broadcast_arrays(x, m), X[:3], M)
case("concatenate", lambda np, x, y: np.concatenate([x, y]), X, Y, dtypes=EVERYTHING)
case("concatenate", lambda np, x, y: np.concatenate([x, y], axis=None), M, N)
case("concat", lambda np, x, y: np.concat([x, y], axis=1), M, N)
case("stack", lambda np, x, y: np.stack([x, y], axis=-1), X, Y, dtypes=EVERYTHING)
case("vstack", lambda np, x, y: np.vstack([x, y]), X, Y)
case("hstack", lambda np, x, y: np.hstack([x, y]), X, Y)
case("dstack", lambda np, x, y: np.dstack([x, y]), X, Y)
case("column_stack", lambda np, x, y: np.column_stack([x, y]), X, Y)
case("block", lambda np, x, y: np.block([[x, y], [y, x]]), M, N)
case("append", lambda np, x, y: np.append(x, y), M, X)
case("split", lambda np, x: np.split(x, 2), X)
case("split", lambda np, x: np.split(x, [1, 3]), X)
case("array_split", lambda np, x: np.array_split(x, 3), X)
case("hsplit", lambda np, x: np.hsplit(x, 3), M)
case("vsplit", lambda np, x: np.vsplit(x, 2), M)
case("dsplit", lambda np, x: np.dsplit(x, 2), T3)
case("unstack", lambda np, x: np.unstack(x, axis=1), M)
case("tile", lambda np, x: np.tile(x, (2, 1, 2)), M)
case("repeat", lambda np, x: np.repeat(x, 2, axis=1), M)
case("repeat", lambda np, x: np.repeat(x, [1, 0, 3, 2]), X)
case("resize", lambda np, x: np.resize(x, (3, 3)), X)
case("insert", lambda np, x: np.insert(x, [1, 3], x[:2]), X)
case("insert", lambda np, x: np.insert(x, 1, 5.0, axis=1), M)
case("delete", lambda np, x: np.delete(x, [0, 2]), X)
case("delete", lambda np, x: np.delete(x, 1, axis=1), M)
for mode in (
    "edge",
    "reflect",
    "symmetric",
    "wrap",
    "maximum",
    "minimum",
    "mean",
    "median",
    "linear_ramp",
    "constant",
):
    case(
        "pad",
        lambda np, x, mode=mode: np.pad(x, ((1, 2), (2, 1)), mode=mode),
        T3[0],
        dtypes="ld" if mode not in ("mean", "median") else "d",
    )
case("pad", lambda np, x: np.pad(x, 1, constant_values=(2.0, 3.0)), M)
case("pad", lambda np, x: np.pad(x, (3, 2), mode="reflect", reflect_type="odd"), X)
case("ndim", lambda np, x: x * np.ndim(x), X)
case("shape", lambda np, x: x * np.shape(x)[0], X)
case("size", lambda np, x: x * np.size(x), X)

# --- indexing ----------------------------------------------------------------------------------

case("take", lambda np, x: np.take(x, [2, -1, 0]), X, dtypes=EVERYTHING)
case("take", lambda np, x, i: np.take(x, i, axis=1, mode="wrap"), M, I4, dtypes="")
case("take_along_axis", lambda np, x: np.take_along_axis(x, np.asarray([[1, 0], [2, -1]]), 1), M)
case("choose", lambda np, x, y: np.choose([0, 1, 1, 0], [x, y]), X, Y)
case("compress", lambda np, x: np.compress([True, False, True], x, axis=1), M)
case("extract", lambda np, x: np.extract([True, False, True, True], x), X)
case("diagonal", lambda np, x: np.diagonal(x, 1), M)
case("diagonal", lambda np, x: np.diagonal(x, -1, 2, 1), T3)
case("diag_indices_from", lambda np, x: x[np.diag_indices_from(x)], M[:, :2])
case("tril_indices_from", lambda np, x: x[np.tril_indices_from(x)], M)
case("triu_indices_from", lambda np, x: x[np.triu_indices_from(x, 1)], M)
case("diag_indices", lambda np, x: x[np.diag_indices(2)], M)
case("tril_indices", lambda np, x: x[np.tril_indices(2)], M)
case("triu_indices", lambda np, x: x[np.triu_indices(2)], M)
case("mask_indices", lambda np, x: x[np.mask_indices(2, np.triu)], M)
case("unravel_index", lambda np, i: np.unravel_index(i, (2, 3)), I4, diff=False, dtypes="")
case(
    "ravel_multi_index",
    lambda np, i: np.ravel_multi_index((i, i), (5, 4)),
    I4,
    diff=False,
    dtypes="",
)
case(
    "searchsorted", lambda np, a, v: np.searchsorted(a, v), P, np.array([0.1, 1.3, 9.0]), diff=False
)
case(
    "searchsorted",
    lambda np, a, v: np.searchsorted(a, v, side="right"),
    P,
    P,
    diff=False,
    batch=False,
)
case("digitize", lambda np, x: np.digitize(x, P), X, diff=False)
case("digitize", lambda np, x: np.digitize(x, P[::-1], right=True), P, diff=False)

# --- what is known without values --------------------------------------------------------------

case("iscomplexobj", lambda np, x: x * np.iscomplexobj(x), X)
case("isrealobj", lambda np, x: x * np.isrealobj(x), X)
case("result_type", lambda np, x: x.astype(np.result_type(x, np.float64)), X)
case("can_cast", lambda np, x: x * np.can_cast(x.dtype, np.float64), X)
case("common_type", lambda np, x: x.astype(np.common_type(x)), X)
