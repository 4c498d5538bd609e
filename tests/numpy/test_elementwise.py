"""Element-wise functions: promotion, edge values, derivatives at kinks, options, errors."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace.errors import DTypeError, InPlaceUpdateError, ShapeError

CHARS = "?bhilBHILefdFD"
BINARY = [
    np.add, np.subtract, np.multiply, np.true_divide, np.floor_divide, np.remainder, np.fmod,
    np.maximum, np.minimum, np.fmax, np.fmin, np.less, np.less_equal, np.greater, np.equal,
    np.not_equal, np.logical_and, np.logical_xor, np.bitwise_and, np.arctan2, np.hypot,
    np.logaddexp, np.copysign, np.float_power, np.heaviside,
]  # fmt: skip
UNARY = [
    np.sin, np.tan, np.arctan, np.exp, np.exp2, np.expm1, np.log1p, np.sqrt, np.cbrt, np.square,
    np.negative, np.positive, np.absolute, np.fabs, np.sign, np.floor, np.rint, np.conjugate,
    np.isnan, np.isfinite, np.signbit, np.invert, np.logical_not, np.degrees, np.reciprocal,
]  # fmt: skip


def _outcome(call: Callable[..., Any], *args: Any) -> Any:
    with np.errstate(all="ignore"):
        try:
            return call(*args).dtype
        except TypeError:
            return "TypeError"


@pytest.mark.parametrize("ufunc", BINARY, ids=lambda u: u.__name__)
def test_binary_dtypes(ufunc: np.ufunc) -> None:
    """The result dtype is NumPy's for every pair of dtypes, or both refuse."""
    for a, b in itertools.product(CHARS, CHARS):
        x, y = np.ones(2, a), np.ones(2, b)
        want = _outcome(ufunc, x, y)
        got = _outcome(ft.eval_shape, ufunc, x, y)
        assert got == want, (a, b)


@pytest.mark.parametrize("ufunc", UNARY, ids=lambda u: u.__name__)
def test_unary_dtypes(ufunc: np.ufunc) -> None:
    """The result dtype is NumPy's for every dtype, or both refuse."""
    for char in CHARS:
        x = np.ones(2, char)
        want = _outcome(ufunc, x)
        assert _outcome(ft.eval_shape, ufunc, x) == want, char


@pytest.mark.parametrize("number", [True, 2, 0.5, 1j])
@pytest.mark.parametrize("ufunc", [np.add, np.true_divide, np.maximum, np.power, np.less])
def test_python_numbers_are_weak(ufunc: np.ufunc, number: Any) -> None:
    """A Python number, traced or not, doesn't widen the other operand (NEP 50)."""
    for char in CHARS:
        x = np.ones(2, char)
        want = _outcome(ufunc, x, number)
        assert _outcome(ft.eval_shape, lambda v: ufunc(v, number), x) == want, char
        assert _outcome(ft.eval_shape, lambda v: ufunc(number, v), x) == want, char
        assert _outcome(ft.eval_shape, ufunc, x, number) == want, char


def test_integers_out_of_range() -> None:
    """A Python integer that doesn't fit raises in arithmetic and compares exactly."""
    x = np.array([0, 255], np.uint8)
    with pytest.raises(OverflowError, match="out of bounds"):
        ft.jit(lambda x: x + 300)(x)
    for ufunc in (np.less, np.equal, np.greater_equal):
        for number in (300, -1):
            got = ft.jit(lambda v, u=ufunc, n=number: u(v, n))(x)
            np.testing.assert_array_equal(got, ufunc(x, number))
            got = ft.jit(lambda v, u=ufunc, n=number: u(n, v))(x)
            np.testing.assert_array_equal(got, ufunc(number, x))


def test_signed_with_unsigned() -> None:
    """int64 and uint64 compare exactly, as in NumPy."""
    x, y = np.array([-1, 0, 2**62]), np.array([2**64 - 1, 0, 2**62 + 1], np.uint64)
    for ufunc in (np.less, np.less_equal, np.greater, np.greater_equal, np.equal, np.not_equal):
        np.testing.assert_array_equal(ft.jit(ufunc)(x, y), ufunc(x, y))
        np.testing.assert_array_equal(ft.jit(ufunc)(y, x), ufunc(y, x))


SPECIAL = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.0, -1.0, 1e-310, -5.5, 1e300])


@pytest.mark.parametrize(
    "name",
    [
        "floor_divide", "remainder", "fmod", "maximum", "minimum", "fmax", "fmin", "copysign",
        "hypot", "logaddexp", "logaddexp2", "heaviside", "arctan2", "nextafter",
    ],
)  # fmt: skip
def test_edge_values_of_pairs(name: str) -> None:
    """NaN, infinities, signed zeros and denormals, in every combination."""
    x, y = (a.ravel() for a in np.meshgrid(SPECIAL, SPECIAL))
    ufunc = getattr(np, name)
    with np.errstate(all="ignore"):
        want = ufunc(x, y)
    got = ft.make_jaxpr(ufunc)(x, y)
    with np.errstate(all="ignore"):
        (value,) = ft.core.jaxpr.eval_jaxpr(got.jaxpr, got.consts, x, y)
    np.testing.assert_allclose(value, want, rtol=1e-15)
    if name not in ("maximum", "minimum", "fmax", "fmin"):
        np.testing.assert_array_equal(np.signbit(value), np.signbit(want))


@pytest.mark.parametrize("name", ["modf", "frexp", "sinc", "spacing", "sign", "nan_to_num", "rint"])
def test_edge_values(name: str) -> None:
    """NaN, infinities, signed zeros and denormals."""
    x = np.concatenate([SPECIAL, [0.5, 2.0**52, 1 - 2.0**-53, 2.0**-1040]])
    function = getattr(np, name)
    with np.errstate(all="ignore"):
        want = np.asarray(function(x))
        got = np.asarray(ft.vmap(function)(x))
    np.testing.assert_allclose(got, want, rtol=1e-15, atol=1e-16)


# --- derivatives -------------------------------------------------------------------------------


def test_kinks() -> None:
    """The conventions at kinks and at the edges of domains."""
    slope = ft.grad(lambda x: np.abs(x))(0.0)
    assert slope == 0.0
    assert ft.grad(lambda x: np.maximum(x, 1.0))(1.0) == 0.5
    assert ft.grad(lambda x: np.clip(x, 0.0, 1.0))(1.0) == 0.5
    assert ft.grad(lambda x: x**0)(0.0) == 0.0
    assert ft.grad(lambda x: np.power(x, 2.0))(-3.0) == -6.0
    assert ft.grad(lambda x: np.hypot(x, x))(3.0) == pytest.approx(2**0.5)
    assert ft.grad(lambda x: np.hypot(x, 0.0))(0.0) == 0.0
    assert ft.grad(lambda x: np.logaddexp(x, -np.inf))(-np.inf) == 0.5
    assert ft.grad(lambda x: np.sqrt(x * x))(0.0) == 0.0


def test_where_hides_what_it_does_not_choose() -> None:
    """Infinite slopes on the side that isn't chosen do no harm."""
    f = ft.grad(lambda x: np.where(x > 0.0, np.sqrt(np.where(x > 0.0, x, 1.0)), 0.0))
    assert f(0.0) == 0.0
    assert f(4.0) == 0.25


def test_higher_derivatives_of_sinc() -> None:
    """sinc is smooth at 0."""
    second = ft.grad(ft.grad(np.sinc))
    assert second(0.0) == pytest.approx(-(np.pi**2) / 3, rel=1e-13)
    fourth = ft.grad(ft.grad(second))
    assert fourth(0.0) == pytest.approx(np.pi**4 / 5, rel=1e-12)


def test_i0_over_its_range() -> None:
    """Both series of i0 agree with NumPy, and so do their slopes with each other."""
    x = np.array([0.0, 0.1, -5.0, 12.0, 19.9, 20.1, 40.0, 700.0])
    np.testing.assert_allclose(ft.jit(np.i0)(x), np.i0(x), rtol=1e-13)
    slope = ft.vmap(ft.grad(np.i0))(np.array([19.999999, 20.000001]))
    assert slope[0] == pytest.approx(slope[1], rel=1e-5)


# --- options and errors ------------------------------------------------------------------------


def test_dtype_option() -> None:
    """``dtype=`` picks the loop, as in NumPy."""
    x = np.array([1, 2], np.int32)
    for call in (
        lambda x: np.sin(x, dtype=np.float32),
        lambda x: np.add(x, 1, dtype=np.float64),
        lambda x: np.multiply(x, x, dtype="i8", casting="unsafe"),
        lambda x: np.add(x, x, order="C", subok=False),
    ):
        want, got = call(x), ft.jit(call)(x)
        np.testing.assert_allclose(got, want, rtol=1e-6)
        assert got.dtype == want.dtype
    with pytest.raises(TypeError, match="Cannot cast"):
        ft.jit(lambda x: np.add(x, x, dtype=np.int8))(np.ones(2))


def test_where_and_out_are_refused() -> None:
    """Options that need an array to write into raise, and say what to do."""
    x = np.ones(2)
    with pytest.raises(TypeError, match=r"functrace.numpy.where\(mask"):
        ft.jit(lambda x: np.sin(x, where=np.array([True, False])))(x)
    with pytest.raises(InPlaceUpdateError, match="out="):
        ft.jit(lambda x: fnp.sin(x, out=np.empty(2)))(x)
    with pytest.raises(InPlaceUpdateError, match="out="):
        ft.jit(lambda x: np.clip(x, 0, 1, out=np.empty(2)))(x)


def test_negative_integer_powers() -> None:
    """NumPy's error, when the exponent is known."""
    for exponent in (-1, np.array([1, -2])):
        with pytest.raises(ValueError, match="Integers to negative integer powers"):
            ft.jit(lambda x, n=exponent: np.power(x, n))(np.array([1, 2]))
    with pytest.raises(ValueError, match="Integers to negative integer powers"):
        ft.vmap(lambda x: x**-1)(np.array([1, 2]))


@pytest.mark.parametrize(
    "call",
    [
        lambda x: np.subtract(x, x),
        lambda x: np.negative(x),
        lambda x: np.sign(x),
        lambda x: np.positive(x),
    ],
)
def test_booleans_are_refused_as_in_numpy(call: Callable[[Any], Any]) -> None:
    """Where NumPy has no loop there is none here."""
    x = np.array([True, False])
    with pytest.raises(TypeError):
        call(x)
    with pytest.raises(DTypeError):
        ft.jit(call)(x)


def test_shapes_that_do_not_broadcast() -> None:
    """NumPy's words."""
    with pytest.raises(ShapeError, match=r"could not be broadcast together with shapes \(2,\) \(3"):
        ft.jit(lambda x, y: x + y)(np.ones(2), np.ones(3))


def test_object_arrays_are_refused() -> None:
    """What isn't an array of numbers is named."""
    with pytest.raises(TypeError, match="object"):
        ft.jit(lambda x: fnp.add(x, np.array([None, 1])))(np.ones(2))
    with pytest.raises(TypeError, match=r"text|str|dtype"):
        ft.jit(lambda x: fnp.add(x, "text"))(np.ones(2))


def test_selecting_errors() -> None:
    """select, where and piecewise check their arguments as NumPy does."""
    x = np.ones(2)
    for call, text in (
        (lambda x: np.select([x > 0], [x, x]), "same length"),
        (lambda x: np.select([], []) + x, "empty condition list"),
        (lambda x: np.select([x], [x]), "should be boolean"),
        (lambda x: np.where(x > 0, x), "either both or neither"),
        (lambda x: np.piecewise(x, [x > 0], [1, 2, 3]), "functions are expected"),
        (lambda x: np.interp(x, x, np.ones(3)), "not of the same length"),
        (lambda x: np.interp(x, x, x, period=0), "non-zero"),
    ):
        with pytest.raises((ValueError, TypeError), match=text):
            ft.jit(call)(x)


def test_without_tracers_it_is_numpy() -> None:
    """No traced argument: NumPy's own result and type."""
    assert type(fnp.sin(1.0)) is np.float64
    buffer = np.empty(2)
    assert fnp.sin(np.ones(2), out=buffer) is buffer
    assert type(fnp.add(np.float32(1), 1)) is np.float32
    np.testing.assert_array_equal(fnp.where([True, False], 1, 2), [1, 2])
    (found,) = fnp.where(np.array([0, 3]))
    np.testing.assert_array_equal(found, [1])


def test_weakness_survives_operators_only() -> None:
    """A traced Python number stays weak through operators, not through functions."""
    x = np.ones(2, np.float32)
    assert ft.eval_shape(lambda x, t: x * (2 * t), x, 1.0).dtype == np.float32
    assert ft.eval_shape(lambda x, t: x * np.sin(t), x, 1.0).dtype == np.float64
    assert ft.jit(lambda x, t: x * t)(x, 1.0).dtype == np.float32


def test_real_if_close() -> None:
    """What is nearly real becomes real, where that is known."""
    z = np.array([1 + 1e-15j, 2.0])
    seen = []

    def f(t: Any) -> Any:
        seen.append(np.real_if_close(z * 1.0).dtype)
        return t

    ft.grad(f)(1.0)
    assert seen == [np.float64]
    with pytest.raises(TypeError, match="truth value"):
        ft.jit(lambda z: np.real_if_close(z))(z)


CLOSE: list[Callable[..., Any]] = [
    lambda x: np.isclose(x.astype(int), 1),
    lambda x: np.isclose(x, np.array([1, 2, 3])),
    lambda x: np.isclose(x, np.array([1.0, np.nan, 3.0]), equal_nan=True),
    lambda x: np.isclose(x, x * (1 + 1e-4), rtol=1e-3, atol=0.0),
    lambda x: np.isclose(x, x + 1j),
    lambda x: np.isclose(x, np.inf * x),
    lambda x: np.allclose(x, 1.0),
    lambda x: np.array_equal(x, x[:2]),
    lambda x: np.array_equal(x, x, equal_nan=True),
    lambda x: np.array_equiv(x, x[None]),
    lambda x: np.array_equiv(x, x[:2]),
    lambda x: np.isreal(x * 1j),
    lambda x: np.iscomplex(x * 1j + 1),
    lambda x: np.isposinf(x.astype(int)),
    lambda x: np.real(x) + np.imag(x) + np.angle(x, deg=True),
    lambda x: np.angle(x * (1 + 1j), deg=True),
    lambda x: np.nan_to_num(x * 1j * np.array([np.nan, np.inf, 1.0]), nan=2.0, posinf=7),
    lambda x: np.nan_to_num(x.astype(int)),
    lambda x: np.select([x > 2, x > 0], [1, x]),
    lambda x: np.where([True, False, True], x, -x),
    lambda x: np.where(x.astype(int) - 1, x, 0),
    lambda x: np.clip(x),
    lambda x: np.piecewise(x, x > 1.5, [10.0, lambda v: -v]),
    lambda x: np.piecewise(x, [x > 1.5], [10.0]),
    lambda x: np.round(x * 123.456, -1),
    lambda x: np.round(x > 1),
    lambda x: np.rint(x * (1.5 + 2.5j)),
    lambda x: np.sinc(x.astype(int)),
    lambda x: np.i0(x.astype(int)),
    lambda x: np.unwrap(x * 5, discont=4.0),
    lambda x: np.unwrap(np.stack([x * 7, x * 9]), axis=0),
    lambda x: np.interp(x, [1.0], [5.0], left=0.0, right=9.0),
    lambda x: np.interp(x, [0.0, 2.0, 4.0], np.array([1.0, 2.0, 1.0]) * (1 + 1j)),
    lambda x: np.interp(x, [0.0, 2.0, 2.0, 4.0], x.sum() * np.arange(4.0)),
    lambda x: np.searchsorted(x, 1.5, sorter=np.array([0, 1, 2])),
    lambda x: np.digitize(x, [3.0, 2.0, 1.0]),
    lambda x: np.exp2(x * 1j),
    lambda x: np.power(x, np.float64(2.0)) + np.power(x, np.array(3)) + x**70 + x**0.3,
    lambda x: np.power(x.astype(int), 3) + x.astype(int) ** np.arange(3),
    lambda x: 2.0 ** x.astype(int),
    lambda x: x.astype(int) ** 1.5,
]


@pytest.mark.parametrize("call", CLOSE)
def test_other_arguments(call: Callable[..., Any]) -> None:
    """Arguments the table of cases doesn't vary: compiled, and batched."""
    x = np.array([1.0, 2.0, 3.0])
    with np.errstate(all="ignore"):
        want = np.asarray(call(x))
        got, lanes = ft.jit(call)(x), ft.vmap(call)(x[None])
    for value in (np.asarray(got), np.asarray(lanes)[0]):
        np.testing.assert_allclose(value, want, rtol=1e-13)
        assert (value.dtype, value.shape) == (want.dtype, want.shape)


def test_complex_infinities_are_ambiguous() -> None:
    """NumPy's refusal."""
    for call in (np.isposinf, np.isneginf):
        with pytest.raises(TypeError, match="ambiguous"):
            ft.jit(call)(np.ones(2) * 1j)
    with pytest.raises(TypeError, match="complex"):
        ft.jit(np.i0)(np.ones(2) * 1j)
