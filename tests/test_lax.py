"""functrace.lax: JAX's names over the primitives; strict operands; Python numbers adapt."""

from __future__ import annotations

import math

import numpy as np
import pytest
from function_checks import (
    assert_same,
    check_all,
    check_derivative,
    check_traced,
    check_vmap,
    staged,
)

import functrace
from functrace import lax
from functrace.errors import DTypeError, ShapeError

RNG = np.random.default_rng(4)
X = RNG.uniform(0.1, 0.9, (3, 4))
Y = RNG.uniform(0.1, 0.9, (3, 4))
N = RNG.integers(-9, 9, (3, 4))
M = RNG.integers(1, 5, (3, 4))

UNARY = {
    "neg": np.negative,
    "abs": np.abs,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "is_finite": np.isfinite,
    "exp": np.exp,
    "exp2": np.exp2,
    "expm1": np.expm1,
    "log": np.log,
    "log1p": np.log1p,
    "log2": np.log2,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "atanh": np.arctanh,
    "sqrt": np.sqrt,
    "cbrt": np.cbrt,
    "square": np.square,
    "reciprocal": np.reciprocal,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "logistic": lambda x: 1 / (1 + np.exp(-x)),
    "erf": np.vectorize(math.erf),
    "erfc": np.vectorize(math.erfc),
    "lgamma": np.vectorize(math.lgamma),
}
BINARY = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.true_divide,
    "rem": np.fmod,
    "max": np.maximum,
    "min": np.minimum,
    "atan2": np.arctan2,
    "nextafter": np.nextafter,
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
    "pow": np.power,
}


@pytest.mark.parametrize("name", UNARY)
def test_unary(name: str) -> None:
    check_traced(getattr(lax, name), X, plain=UNARY[name])
    if name not in ("sign", "floor", "ceil", "is_finite"):
        check_derivative(getattr(lax, name), X)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name: str) -> None:
    fun = getattr(lax, name)
    check_traced(fun, X, Y, plain=BINARY[name])
    check_traced(lambda x: fun(x, 0.5), X, plain=lambda x: BINARY[name](x, 0.5))
    check_traced(
        lambda x: fun(2.0, x),
        X.astype(np.float32),
        plain=lambda x: BINARY[name](np.float32(2.0), x),
    )
    assert_same(fun(X, Y), BINARY[name](X, Y))


def test_integers() -> None:
    check_traced(lax.div, N, M, plain=lambda n, m: np.trunc(n / m).astype(int))
    check_traced(lambda n: lax.div(n, 2), N, plain=lambda n: np.trunc(n / 2).astype(int))
    check_traced(lax.bitwise_and, N, M, plain=np.bitwise_and)
    check_traced(lax.bitwise_or, N, M, plain=np.bitwise_or)
    check_traced(lax.bitwise_xor, N, M, plain=np.bitwise_xor)
    check_traced(lax.bitwise_not, N, plain=np.invert)
    check_traced(lax.shift_left, N, M, plain=np.left_shift)
    check_traced(lax.shift_right_arithmetic, N, M, plain=np.right_shift)
    check_traced(lax.shift_right_logical, M, M, plain=np.right_shift)
    check_traced(lax.population_count, M, plain=lambda m: np.bitwise_count(m).astype(m.dtype))
    check_traced(lax.clz, np.array([1, 255], np.uint8), plain=lambda m: np.array([7, 0], np.uint8))
    check_traced(lambda x: lax.pow(x, 3), X, plain=lambda x: x**3)
    check_traced(lambda x, n: lax.pow(x, n), X, M, plain=lambda x, n: x**n)
    check_traced(lambda x: lax.integer_pow(x, -2), X, plain=lambda x: x**-2)


def test_complex_numbers() -> None:
    z = X + 1j * Y
    check_traced(lax.complex, X, Y, plain=lambda x, y: x + 1j * y)
    check_traced(lax.real, z, plain=np.real)
    check_traced(lax.imag, z, plain=np.imag)
    check_traced(lax.conj, z, plain=np.conj)
    check_traced(lax.conj, X, plain=lambda x: x.astype(complex))


def test_rounding_and_choice() -> None:
    halves = np.array([0.5, 1.5, -2.5])
    assert_same(staged(lax.round, halves), np.array([1.0, 2.0, -3.0]))
    even = staged(lambda x: lax.round(x, lax.RoundingMethod.TO_NEAREST_EVEN), halves)
    assert_same(even, np.array([0.0, 2.0, -2.0]))
    check_traced(lambda x: lax.clamp(0.3, x, 0.6), X, plain=lambda x: np.clip(x, 0.3, 0.6))
    check_traced(lax.select, X > 0.5, X, Y, plain=np.where)
    check_traced(
        lambda m, x: lax.select(m, x, 0.0), X > 0.5, X, plain=lambda m, x: np.where(m, x, 0)
    )
    check_traced(lambda x, y: lax.select_n(True, x, y), X, Y, plain=lambda x, y: y)
    check_traced(lambda x, y: lax.select_n(np.int64(0), x, y), X, Y, plain=lambda x, y: x)
    check_derivative(lax.digamma, X)
    check_derivative(lambda x: lax.polygamma(1, x), X)
    assert_same(lax.polygamma(0.0, X), lax.digamma(X))
    check_derivative(lax.erf_inv, X)
    check_derivative(lax.acosh, X + 1.5)


def test_python_numbers_adapt_and_arrays_do_not() -> None:
    assert lax.add(np.float32(1), 2.5).dtype == np.float32
    assert lax.add(np.int8(1), 2).dtype == np.int8
    assert lax.sin(1.0).dtype == np.float64
    assert lax.add(1, 2).dtype == np.int64
    weak = functrace.make_jaxpr(lambda x, s: lax.mul(x, s))(np.ones(2, np.float32), 2.0)
    assert weak.out_avals[0].dtype == np.float32
    with pytest.raises(TypeError, match="don't promote"):
        lax.add(np.arange(3), 1.5)
    with pytest.raises(TypeError, match="one dtype"):
        staged(lambda x: lax.add(x, np.float32(1)), X)
    with pytest.raises(ShapeError):
        staged(lambda x: lax.add(x, np.ones(4)), X)
    with pytest.raises(DTypeError, match="arrays and numbers"):
        lax.sin([1.0])
    with pytest.raises(OverflowError):
        lax.add(np.int8(1), 1000)


# --- structure ---------------------------------------------------------------------------------


def test_making() -> None:
    assert_same(lax.full((2, 3), 7.0), np.full((2, 3), 7.0))
    assert_same(lax.full((2,), 7, np.float32), np.full((2,), 7, np.float32))
    check_traced(lambda x: lax.full((2, 3), x), np.float64(2.0), plain=lambda x: np.full((2, 3), x))
    assert_same(lax.full_like(X, 1), np.ones((3, 4)))
    assert_same(lax.full_like(X, 1, np.int8, (2,)), np.ones(2, np.int8))
    assert_same(lax.zeros_like_array(N), np.zeros((3, 4), int))
    assert_same(lax.iota(np.int32, 4), np.arange(4, dtype=np.int32))
    assert_same(lax.broadcasted_iota(float, (2, 3), 1), np.array([[0.0, 1, 2]] * 2))
    with pytest.raises(ShapeError, match="one number"):
        lax.full((2,), X)


STRUCTURE = {
    "broadcast": (lambda x: lax.broadcast(x, (2,)), lambda x: np.stack([x, x])),
    "broadcast_in_dim": (
        lambda x: lax.broadcast_in_dim(x, (3, 2, 4), (0, 2)),
        lambda x: np.stack([x, x], 1),
    ),
    "broadcast_to_rank": (lambda x: lax.broadcast_to_rank(x, 4), lambda x: x[None, None]),
    "reshape": (lambda x: lax.reshape(x, (2, 6), (1, 0)), lambda x: x.T.reshape(2, 6)),
    "collapse": (lambda x: lax.collapse(x, 0), lambda x: x.ravel()),
    "collapse_part": (lambda x: lax.collapse(x, 0, 1), lambda x: x),
    "expand_dims": (lambda x: lax.expand_dims(x, (0, -1)), lambda x: x[None, ..., None]),
    "squeeze": (lambda x: lax.squeeze(lax.expand_dims(x, (1,))), lambda x: x),
    "transpose": (lambda x: lax.transpose(x, (1, 0)), np.transpose),
    "rev": (lambda x: lax.rev(x, (0, 1)), lambda x: x[::-1, ::-1]),
    "slice": (lambda x: lax.slice(x, (1, 0), (3, 4), (1, 2)), lambda x: x[1:3, ::2]),
    "slice_in_dim": (lambda x: lax.slice_in_dim(x, 1, -1, axis=1), lambda x: x[:, 1:-1]),
    "index_in_dim": (lambda x: lax.index_in_dim(x, -1, 1), lambda x: x[:, -1:]),
    "index_without": (lambda x: lax.index_in_dim(x, 1, 0, False), lambda x: x[1]),
    "concatenate": (lambda x: lax.concatenate([x, x], 1), lambda x: np.concatenate([x, x], 1)),
    "split": (lambda x: lax.split(x, (1, 2), 0), lambda x: [x[:1], x[1:]]),
    "pad": (
        lambda x: lax.pad(x, 1.0, [(1, 0, 0), (0, -1, 0)]),
        lambda x: np.pad(x[:, :-1], ((1, 0), (0, 0)), constant_values=1.0),
    ),
    "stack": (lambda x: lax.stack([x, x], -1), lambda x: np.stack([x, x], -1)),
    "unstack": (lambda x: lax.unstack(x, 1), lambda x: tuple(x.T)),
    "tile": (lambda x: lax.tile(x, (2, 3)), lambda x: np.tile(x, (2, 3))),
    "convert": (lambda x: lax.convert_element_type(x, np.float32), lambda x: x.astype(np.float32)),
}


@pytest.mark.parametrize("name", STRUCTURE)
def test_structure(name: str) -> None:
    fun, plain = STRUCTURE[name]
    check_traced(fun, X, plain=plain)
    assert_same(fun(X), plain(X))
    check_vmap(fun, X)
    if name != "convert":
        check_derivative(fun, X)


def test_errors_of_structure() -> None:
    with pytest.raises(IndexError, match="out of bounds"):
        lax.index_in_dim(X, 4, 1)
    with pytest.raises(ShapeError, match="permutation"):
        lax.transpose(X, (0,))
    with pytest.raises(ShapeError, match="reps"):
        lax.tile(X, (2,))
    assert lax.broadcast_shapes((2, 1), (3,)) == (2, 3)


def test_stop_gradient() -> None:
    assert functrace.grad(lambda x: x * lax.stop_gradient(x))(3.0) == 3.0
    tree = functrace.grad(lambda x: x * lax.stop_gradient({"a": x, "b": (1, "text")})["a"])(3.0)
    assert tree == 3.0
    assert functrace.grad(lambda x: x * float(lax.stop_gradient(x)))(3.0) == 3.0


# --- reductions and sorting --------------------------------------------------------------------


def test_reductions() -> None:
    for name, plain in (("sum", np.sum), ("prod", np.prod), ("max", np.max), ("min", np.min)):
        fun = getattr(lax, f"reduce_{name}")
        check_traced(lambda x, f=fun: f(x, (-1,)), X, plain=lambda x, p=plain: p(x, -1))
        check_derivative(lambda x, f=fun: f(x, (0, 1)), X)
    mask = X > 0.3
    check_traced(lambda m: lax.reduce_and(m, (0,)), mask, plain=lambda m: m.all(0))
    check_traced(lambda m: lax.reduce_or(m, (0,)), mask, plain=lambda m: m.any(0))
    check_traced(lambda m: lax.reduce_xor(m, (0,)), N, plain=lambda m: np.bitwise_xor.reduce(m, 0))
    assert lax.reduce_sum(np.ones(3, np.int8), (0,)).dtype == np.int8
    check_traced(
        lambda x: lax.argmax(x, 1, np.int32), X, plain=lambda x: x.argmax(1).astype(np.int32)
    )
    check_traced(lambda x: lax.argmin(x, -2, np.int64), X, plain=lambda x: x.argmin(0))


def test_reduce() -> None:
    check_traced(lambda x: lax.reduce(x, 1.0, lax.add, (0,)), X, plain=lambda x: x.sum(0) + 1)
    check_traced(lambda x: lax.reduce(x, -np.inf, lax.max, (0,)), X, plain=lambda x: x.max(0))
    check_traced(lambda x: lax.reduce(x, 1.0, lambda a, b: b * a, (0, 1)), X, plain=np.prod)
    check_traced(
        lambda m: lax.reduce(m, True, lax.bitwise_and, (1,)), X > 0.2, plain=lambda m: m.all(1)
    )
    # Any other function runs in a loop.
    check_traced(lambda x: lax.reduce(x, 0.0, lax.sub, (0,)), X, plain=lambda x: -x.sum(0))
    check_traced(
        lambda x: lax.reduce(x, 1.0, lambda a, b: a + b + 1, (1, 0)),
        X,
        plain=lambda x: x.sum() + x.size + 1,
    )
    with pytest.raises(TypeError):
        lax.reduce(X, 0.0, lax.bitwise_and, (0,))


def test_running_reductions() -> None:
    for name, plain in (
        ("cumsum", np.cumsum),
        ("cumprod", np.cumprod),
        ("cummax", np.maximum.accumulate),
        ("cummin", np.minimum.accumulate),
        ("cumlogsumexp", np.logaddexp.accumulate),
    ):
        fun = getattr(lax, name)
        check_traced(lambda x, f=fun: f(x, -1), X, plain=lambda x, p=plain: p(x, axis=-1))
        check_traced(
            lambda x, f=fun: f(x, 0, reverse=True),
            X,
            plain=lambda x, p=plain: p(x[::-1], axis=0)[::-1],
        )
        check_derivative(lambda x, f=fun: f(x, 1), X)


def test_sorting() -> None:
    keys = np.array([[2, 1, 2, 0]])
    check_traced(lambda x: lax.sort(x, 0), X, plain=lambda x: np.sort(x, 0))
    check_traced(
        lambda k: lax.sort_key_val(k, np.arange(4)[None]),
        keys,
        plain=lambda k: (np.sort(k), np.argsort(k, kind="stable")),
    )
    check_traced(
        lambda k: lax.sort((k, -np.arange(4)[None]), num_keys=2),
        keys,
        plain=lambda k: (np.sort(k), np.array([[-3, -1, -2, 0]])),
    )
    check_traced(
        lambda x: lax.top_k(x, 2), X, plain=lambda x: (-np.sort(-x)[:, :2], np.argsort(-x)[:, :2])
    )
    check_traced(
        lambda x: lax.top_k(x, 2, axis=0),
        X,
        plain=lambda x: (-np.sort(-x, 0)[:2], np.argsort(-x, 0)[:2]),
    )
    check_all(lambda x: lax.top_k(x, 2, axis=0)[0], X)


# --- windows at computed places ----------------------------------------------------------------


def test_dynamic_slices() -> None:
    i = np.int64(1)
    check_traced(
        lambda x, i: lax.dynamic_slice(x, (i, 0), (2, 3)), X, i, plain=lambda x, i: x[1:3, :3]
    )
    check_traced(
        lambda x, v: lax.dynamic_slice(x, v, (2, 3)),
        X,
        np.array([9, -3]),
        plain=lambda x, v: x[1:3, 1:4],
    )
    check_traced(
        lambda x, i: lax.dynamic_slice_in_dim(x, i, 2, -1), X, i, plain=lambda x, i: x[:, 1:3]
    )
    check_traced(lambda x, i: lax.dynamic_index_in_dim(x, i, 1), X, i, plain=lambda x, i: x[:, 1:2])
    check_traced(
        lambda x, i: lax.dynamic_index_in_dim(x, i, 0, False), X, i, plain=lambda x, i: x[1]
    )
    check_derivative(lambda x: lax.dynamic_slice_in_dim(x, 1, 2), X)

    def updated(x: np.ndarray, i: int) -> np.ndarray:
        out = x.copy()
        out[1:3, 1:3] = 5
        return out

    window = np.full((2, 2), 5.0)
    check_traced(lambda x, i: lax.dynamic_update_slice(x, window, (i, i)), X, i, plain=updated)
    rows = np.zeros((2, 4))
    check_traced(
        lambda x: lax.dynamic_update_slice_in_dim(x, rows, 1, 0),
        X,
        plain=lambda x: np.concatenate([x[:1], rows]),
    )
    for update in (rows[0], rows[:1], 0.0 * rows[:1]):
        check_traced(
            lambda x, u=update: lax.dynamic_update_index_in_dim(x, u, 1, 0),
            X,
            plain=lambda x: np.stack([x[0], rows[0], x[2]]),
        )
    check_derivative(lambda x, w: lax.dynamic_update_slice(x, w, (0, 1)), X, window)


def test_gather_and_scatter() -> None:
    indices = np.array([[2], [0], [2]])
    numbers = lax.GatherDimensionNumbers((1,), (0,), (0,))
    check_traced(lambda x: lax.gather(x, indices, numbers, (1, 4)), X, plain=lambda x: x[[2, 0, 2]])
    outside = lax.gather(X, np.array([[7]]), numbers, (1, 4), mode="fill", fill_value=3.0)
    assert_same(outside, np.full((1, 4), 3.0))
    with pytest.raises(IndexError):
        lax.gather(X, np.array([[7]]), numbers, (1, 4), mode="raise")
    check_traced(
        lambda x: lax.index_take(x, (np.array([2, 0]), np.array([1, 3])), (0, 1)),
        X,
        plain=lambda x: x[[2, 0], [1, 3]],
    )
    check_traced(
        lambda x: lax.index_take(x, (np.array([1, 3]),), (1,)), X, plain=lambda x: x[:, [1, 3]].T
    )
    into = lax.ScatterDimensionNumbers((1,), (0,), (0,))
    updates = np.arange(12.0).reshape(3, 4)

    def at(ufunc: np.ufunc) -> object:
        def plain(x: np.ndarray, u: np.ndarray) -> np.ndarray:
            out = x.copy()
            ufunc.at(out, [2, 0, 2], u)
            return out

        return plain

    for name, ufunc in (
        ("add", np.add),
        ("sub", np.subtract),
        ("mul", np.multiply),
        ("min", np.minimum),
        ("max", np.maximum),
    ):
        fun = getattr(lax, f"scatter_{name}")
        check_traced(lambda x, u, f=fun: f(x, indices, u, into), X, updates, plain=at(ufunc))
    first = lax.scatter(X, indices[:2], 0.0 * updates[:2], into)
    assert_same(first, np.stack([0 * X[0], X[1], 0 * X[2]]))
    check_derivative(lambda x, u: lax.scatter_add(x, indices, u, into), X, updates)
    check_derivative(lambda x, u: lax.scatter_sub(x, indices, u, into), X, updates)


# --- products, convolutions, windows -----------------------------------------------------------


def test_products() -> None:
    a, b, v = X, Y.T.copy(), X[0]
    check_traced(lax.dot, a, b, plain=np.dot)
    check_traced(lax.dot, a, v, plain=np.dot)
    check_traced(lax.dot, v, v, plain=np.dot)
    numbers = (((1,), (1,)), ((0,), (0,)))
    check_all(lambda a, c: lax.dot_general(a, c, numbers, lax.Precision.HIGHEST), a, Y)
    check_traced(
        lambda a, c: lax.dot(a, c, dimension_numbers=numbers),
        a,
        Y,
        plain=lambda a, c: (a * c).sum(1),
    )
    wide = lax.dot(a.astype(np.float32), b.astype(np.float32), preferred_element_type=np.float64)
    assert wide.dtype == np.float64
    check_all(lax.batch_matmul, RNG.random((2, 3, 4)), RNG.random((2, 4, 2)))
    with pytest.raises(ShapeError, match=r"lax\.dot got"):
        lax.dot(a, a)
    with pytest.raises(ShapeError, match="batch_matmul"):
        lax.batch_matmul(a, v)


def direct_convolution(x: np.ndarray, w: np.ndarray, stride: int, pad: int) -> np.ndarray:
    x = np.pad(x, ((0, 0), (0, 0), (pad, pad), (pad, pad)))
    windows = np.lib.stride_tricks.sliding_window_view(x, w.shape[2:], (2, 3))
    return np.einsum("nchwij,ocij->nohw", windows[:, :, ::stride, ::stride], w)


def test_convolutions() -> None:
    x, w = RNG.random((2, 3, 6, 6)), RNG.random((4, 3, 3, 3))
    check_traced(
        lambda x, w: lax.conv(x, w, (1, 1), "VALID"),
        x,
        w,
        plain=lambda x, w: direct_convolution(x, w, 1, 0),
    )
    check_traced(
        lambda x, w: lax.conv_with_general_padding(x, w, (2, 2), [(1, 1)] * 2, None, None),
        x,
        w,
        plain=lambda x, w: direct_convolution(x, w, 2, 1),
    )
    check_traced(
        lambda x, w: lax.conv_general_dilated(
            x.transpose(0, 2, 3, 1),
            w.transpose(2, 3, 1, 0),
            (1, 1),
            "SAME",
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        ),
        x,
        w,
        plain=lambda x, w: direct_convolution(x, w, 1, 1).transpose(0, 2, 3, 1),
    )
    check_derivative(lambda x, w: lax.conv(x, w, (2, 1), "SAME"), x, w)


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
@pytest.mark.parametrize("stride", [1, 2, 4])
def test_conv_transpose_is_the_gradient_of_conv(padding: str, stride: int) -> None:
    size = 8
    w = RNG.random((3, 5, 2))  # WIO of the forward convolution
    numbers = ("NWC", "WIO", "NWC")

    def forward(x: np.ndarray) -> np.ndarray:
        return lax.conv_general_dilated(x, w, (stride,), padding, dimension_numbers=numbers)

    x = RNG.random((1, size, 5))
    out, pullback = functrace.vjp(forward, x)
    ct = RNG.random(out.shape)
    back = lax.conv_transpose(ct, w, (stride,), padding, transpose_kernel=True)
    assert back.shape[0] == 1 and back.shape[2] == 5
    n = min(back.shape[1], size)
    if padding == "VALID" or stride < 4:
        np.testing.assert_allclose(back[:, :n], pullback(ct)[0][:, :n], rtol=1e-12)
    plain = lax.conv_transpose(ct, w.transpose(0, 2, 1), (stride,), [(2, 2)], (1,))
    assert plain.shape == (1, (out.shape[1] - 1) * stride + 1 + 2, 5)
    with pytest.raises(ValueError, match="Padding mode"):
        lax.conv_transpose(ct, w, (stride,), "HALF", transpose_kernel=True)


def test_reduce_window() -> None:
    x = RNG.random((4, 6))
    view = np.lib.stride_tricks.sliding_window_view

    def pooled(fold: object, x: np.ndarray) -> np.ndarray:
        return fold(view(x, (2, 3))[::2, ::3], axis=(2, 3))  # type: ignore[operator]

    for function, start, fold in (
        (lax.add, 0.0, np.sum),
        (lax.max, -np.inf, np.max),
        (lax.min, np.inf, np.min),
    ):
        fun = lambda x, f=function, s=start: lax.reduce_window(x, s, f, (2, 3), (2, 3), "VALID")  # noqa: E731
        check_traced(fun, x, plain=lambda x, fold=fold: pooled(fold, x))
        check_all(fun, x)
    check_traced(
        lambda x: lax.reduce_window(x, 2.0, lax.add, (2, 3), (2, 3)),
        x,
        plain=lambda x: pooled(np.sum, x) + 2,
    )
    line = np.arange(1.0, 5.0)
    same = lax.reduce_window(line, 10.0, lax.max, (3,), (1,), "SAME")
    assert_same(same, np.full(4, 10.0))
    apart = lax.reduce_window(line, 1.0, lax.add, (2,), (1,), "VALID", base_dilation=(2,))
    assert_same(apart, np.array([2.0, 3.0, 3.0, 4.0, 4.0, 5.0]))
    check_traced(
        lambda s: lax.reduce_window(line, s, lax.max, (2,)),
        np.float64(2.5),
        plain=lambda s: np.array([2.5, 3.0, 4.0]),
    )
    assert lax.padtype_to_pads((5,), (2,), (2,), "SAME") == [(0, 1)]
    with pytest.raises(NotImplementedError, match="none of add, max, min"):
        lax.reduce_window(x, 1.0, lax.mul, (2, 3))
