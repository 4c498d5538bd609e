"""What users may rely on: dtypes, ownership, casts, kinks (each line of the contract, tested)."""

from __future__ import annotations

import gc
import weakref
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.dtypes import float0

FLOATS = [np.float16, np.float32, np.float64, np.longdouble]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("shape", [(), (3,), (2, 2)])
def test_gradients_have_their_inputs_dtype_and_are_writable(dtype: Any, shape: Any) -> None:
    x = np.ones(shape, dtype)
    g = ft.grad(lambda x: np.sum(x * x))(x)
    assert g.dtype == dtype and g.shape == shape
    if shape:
        assert type(g) is np.ndarray and g.flags.writeable and g.flags.owndata
    else:
        assert isinstance(g, np.generic)
    assert_allclose(np.asarray(g, np.float64), 2.0)


@pytest.mark.parametrize("dtype", [np.complex64, np.complex128])
def test_real_functions_of_complex_inputs_follow_jax(dtype: Any) -> None:
    z = np.array([1 + 2j, -3 + 0.5j], dtype)
    g = ft.grad(lambda z: np.sum(np.real(z * np.conj(z))))(z)
    assert g.dtype == dtype
    assert_allclose(g, 2 * np.conj(z), rtol=1e-6)  # d/dx - i d/dy
    g = ft.grad(lambda z: np.sum(np.abs(z)))(z)
    assert_allclose(g, np.conj(z) / np.abs(z), rtol=1e-6)
    assert_allclose(ft.grad(lambda z: np.sum(np.imag(z)))(z), [-1j, -1j])


def test_holomorphic_gradient() -> None:
    z = np.complex128(0.3 + 0.7j)
    assert_allclose(ft.grad(np.sin, holomorphic=True)(z), np.cos(z))
    with pytest.raises(ft.errors.DTypeError, match="holomorphic=True differentiates"):
        ft.grad(np.sin, holomorphic=True)(1.0)
    with pytest.raises(ft.errors.NonScalarLossError, match="dtype complex128"):
        ft.grad(np.sin)(z)


def test_cotangents_and_tangents_are_cast() -> None:
    _, pullback = ft.vjp(lambda x: x * np.float32(2), np.float32(3))
    (ct,) = pullback(1.0)
    assert ct == np.float32(2) and ct.dtype == np.float32
    (ct,) = pullback(np.float64(1.0))
    assert ct.dtype == np.float32
    _, tangent = ft.jvp(lambda x: x * x, (np.ones(2, np.float32),), (np.ones(2),))
    assert tangent.dtype == np.float32
    _, tangent = ft.jvp(lambda x: x * x, (3.0,), (1,))
    assert tangent == 6.0 and tangent.dtype == np.float64


@pytest.mark.parametrize("shape", [(), (1,), (1, 1)])
def test_grad_takes_any_single_real_output(shape: Any) -> None:
    def f(x: Any) -> Any:
        return np.reshape(x * x, shape)

    value, g = ft.value_and_grad(f)(3.0)
    assert g == 6.0 and np.shape(value) == shape


@pytest.mark.parametrize("constant", [1.0, 2, True, np.float32(3), np.int64(4), np.array(5.0)])
def test_outputs_nothing_moves_give_zeros(constant: Any) -> None:
    value, g = ft.value_and_grad(lambda x: constant)(np.ones(3))
    assert_array_equal(g, np.zeros(3))
    assert g.dtype == np.float64 and isinstance(value, np.generic)
    assert value.dtype == np.asarray(constant).dtype
    assert ft.grad(lambda x: np.sum(x > 0))(np.ones(3)).tolist() == [0, 0, 0]


def test_other_arguments_pass_through() -> None:
    seen = {}

    def f(x: Any, name: Any, *rest: Any, flag: Any = None, **more: Any) -> Any:
        seen.update(name=name, rest=rest, flag=flag, more=more)
        return x * x

    obj = object()
    assert ft.grad(f)(2.0, "text", obj, [1, "a"], flag={1, 2}, other=None) == 4.0
    rest, more = (obj, [1, "a"]), {"other": None}
    assert seen == {"name": "text", "rest": rest, "flag": {1, 2}, "more": more}


def test_argnums() -> None:
    def f(x: Any, y: Any) -> Any:
        return x * y

    assert ft.grad(f, 1)(2.0, 3.0) == 2.0
    assert ft.grad(f, (0, 1))(2.0, 3.0) == (3.0, 2.0)
    assert ft.grad(f, -1)(2.0, 3.0) == 2.0
    with pytest.raises(ValueError, match="argnums=2 doesn't fit a call with 2 positional"):
        ft.grad(f, 2)(2.0, 3.0)


def test_has_aux() -> None:
    def f(x: Any) -> Any:
        return x * x, {"twice": 2 * x, "name": "aux", "n": 3}

    g, aux = ft.grad(f, has_aux=True)(3.0)
    assert g == 6.0 and aux == {"twice": 6.0, "name": "aux", "n": 3}
    assert type(aux["twice"]) is np.float64
    (value, aux), g = ft.value_and_grad(f, has_aux=True)(3.0)
    assert (value, g, aux["twice"]) == (9.0, 6.0, 6.0)
    out, pullback, aux = ft.vjp(f, 3.0, has_aux=True)
    assert out == 9.0 and pullback(1.0) == (6.0,) and aux["twice"] == 6.0
    out, tangent, aux = ft.jvp(f, (3.0,), (1.0,), has_aux=True)
    assert (out, tangent, aux["twice"]) == (9.0, 6.0, 6.0)
    out, f_jvp, aux = ft.linearize(f, 3.0, has_aux=True)
    assert (out, f_jvp(1.0), aux["name"]) == (9.0, 6.0, "aux")
    with pytest.raises(TypeError, match="not a pair"):
        ft.grad(lambda x: x, has_aux=True)(1.0)


def test_aux_shares_memory_with_nothing() -> None:
    x = np.arange(4.0).reshape(2, 2)
    captured = np.ones(3)

    def f(x: Any) -> Any:
        return x.sum(), [x.T, x, lax.stop_gradient(x), lax.stop_gradient(x)[0], captured[:2], x.T]

    for aux in (
        ft.grad(f, has_aux=True)(x)[1],
        ft.vjp(f, x, has_aux=True)[2],
        ft.jvp(f, (x,), (x,), has_aux=True)[2],
        ft.linearize(f, x, has_aux=True)[2],
    ):
        arrays = [*aux, x, captured]
        for i, a in enumerate(arrays):
            assert a.flags.writeable
            assert not any(np.shares_memory(a, b) for b in arrays[:i])


def test_integers() -> None:
    tree = {"i": np.arange(3), "x": np.ones(3)}
    with pytest.raises(ft.errors.DTypeError, match=r"argument 0\['i'\]"):
        ft.grad(lambda t: np.sum(t["x"]))(tree)
    g = ft.grad(lambda t: np.sum(t["x"] * t["i"]), allow_int=True)(tree)
    assert g["i"].dtype == float0 and g["i"].shape == (3,)
    assert_array_equal(g["x"], [0, 1, 2])
    _, pullback = ft.vjp(lambda n, x: n * x, 3, 2.0)
    ct_n, ct_x = pullback(1.0)
    assert ct_n.dtype == float0 and ct_x == 3.0


def test_control_flow_on_concrete_values() -> None:
    def f(x: Any) -> Any:
        while x < 100:
            x = x * 2 if x > 3 else x * 3
        assert x.shape == ()
        return x

    assert_allclose(ft.grad(f)(1.0), 3.0 * 3.0 * 2.0**4)
    assert_allclose(ft.grad(f)(5.0), 32.0)
    x = np.array([1.0, -2.0, 3.0])

    def g(x: Any) -> Any:
        i = int(np.argmax(x))
        return np.sum(x[x > 1] * 2) + x[i] + float(lax.stop_gradient(x[0]))

    assert_array_equal(ft.grad(g)(x), [0, 0, 3])


def test_results_share_memory_with_nothing() -> None:
    x = np.arange(3.0)
    captured = np.ones(3)
    out, pullback = ft.vjp(lambda x: (x, captured, x.reshape(3), x.T, x * 1.0), x)
    (ct,) = pullback(tuple(np.ones(3) for _ in range(5)))
    arrays = [*out, ct, x, captured]
    for i, a in enumerate(arrays):
        for b in arrays[:i]:
            assert not np.shares_memory(a, b)
    given = np.ones(3)
    (ct,) = ft.vjp(lambda x: x, x)[1](given)
    assert not np.shares_memory(ct, given)
    _, g = ft.value_and_grad(lambda x: np.sum(x[:1]))(x)
    assert g.flags.writeable and g.flags.owndata
    out, tangent = ft.jvp(lambda x: x, (x,), (given,))
    assert not np.shares_memory(out, x) and not np.shares_memory(tangent, given)
    for result in (ft.vmap(lambda x: x)(x), ft.vmap(lambda x: captured)(x), ft.jit(lambda x: x)(x)):
        assert result.flags.writeable and not np.shares_memory(result, x)
        assert not np.shares_memory(result, captured)


def test_residuals_are_protected() -> None:
    data = np.arange(6.0).reshape(3, 2)
    buffer = np.zeros(2)

    def f(w: Any) -> Any:
        total = 0.0
        for row in data:
            buffer[:] = row
            total = total + np.sum(w * buffer)
        return total

    assert_array_equal(ft.grad(f)(np.ones(2)), data.sum(0))
    x = np.arange(1.0, 4.0)
    out, pullback = ft.vjp(lambda x: x * x, x)
    out[:] = 100.0
    x[:] = 100.0
    assert_array_equal(pullback(np.ones(3))[0], [2, 4, 6])
    out, pullback = ft.vjp(np.exp, np.zeros(2))
    out[:] = 7.0
    assert_array_equal(pullback(np.ones(2))[0], [1, 1])


def test_residuals_go_with_the_pullback_and_without_the_collector() -> None:
    seen: list[Any] = []

    def f(x: Any) -> Any:
        for _ in range(3):
            x = np.exp(-x)  # whose result is its own residual
            seen.append(weakref.ref(x.primal))
        return np.sum(x)

    gc.collect()
    gc.disable()
    try:
        ft.grad(f)(np.ones(5))
        assert [ref() for ref in seen] == [None] * 3
        seen.clear()
        _, pullback = ft.vjp(f, np.ones(5))
        assert seen[0]() is not None
        del pullback, _
        assert [ref() for ref in seen] == [None] * 3
    finally:
        gc.enable()


def test_pullbacks_may_be_called_often_and_print() -> None:
    _, pullback = ft.vjp(lambda x: np.sin(x) * x, 2.0)
    assert pullback(1.0) == pullback(1.0)
    assert "mul" in str(pullback.jaxpr)


# --- kinks -------------------------------------------------------------------------------------


@pytest.mark.parametrize("transform", [lambda f: f, ft.jit], ids=["eager", "jit"])
class TestKinks:
    def grad(self, f: Any, transform: Any) -> Any:
        return transform(ft.grad(f))

    def test_abs(self, transform: Any) -> None:
        assert self.grad(np.abs, transform)(0.0) == 0.0

    def test_ties_share_evenly(self, transform: Any) -> None:
        assert_array_equal(self.grad(np.max, transform)(np.array([1.0, 3.0, 3.0])), [0, 0.5, 0.5])
        assert_array_equal(self.grad(np.min, transform)(np.array([1.0, 1.0, 3.0])), [0.5, 0.5, 0])
        g = transform(ft.grad(np.maximum, (0, 1)))(2.0, 2.0)
        assert g == (0.5, 0.5)
        g = transform(ft.grad(np.minimum, (0, 1)))(2.0, 2.0)
        assert g == (0.5, 0.5)

    def test_power(self, transform: Any) -> None:
        assert self.grad(lambda x: x**0, transform)(0.0) == 0.0
        assert self.grad(lambda x: x**0.0, transform)(0.0) == 0.0
        assert self.grad(lambda x: x**2, transform)(0.0) == 0.0
        assert self.grad(lambda x: np.power(x, 1.0), transform)(0.0) == 1.0
        assert np.isfinite(transform(ft.grad(np.power, 1))(0.0, 2.0))

    def test_zero_chains_are_finite(self, transform: Any) -> None:
        zeros = np.zeros(3)
        for f in (
            np.linalg.norm,
            np.std,
            lambda x: np.sqrt(np.sum(x * x)),
            lambda x: np.sqrt(np.sum(x**2)),
            lambda x: np.std(x + 1.0),
        ):
            assert_array_equal(self.grad(f, transform)(zeros), zeros)
        assert_array_equal(self.grad(lambda x: np.std(x), transform)(np.full(3, 2.0)), zeros)

    def test_hypot(self, transform: Any) -> None:
        g = transform(ft.grad(np.hypot, (0, 1)))(3.0, 3.0)
        assert_allclose(g, (np.sqrt(0.5), np.sqrt(0.5)))
        g = transform(ft.grad(np.hypot, (0, 1)))(0.0, 0.0)
        assert np.isfinite(g).all()

    def test_product_with_zeros(self, transform: Any) -> None:
        assert_array_equal(self.grad(np.prod, transform)(np.array([2.0, 0.0, 3.0])), [0, 6, 0])


def test_weak_numbers() -> None:
    assert ft.grad(lambda x: np.sum(x * 2.0))(np.ones(2, np.float32)).dtype == np.float32
    out = ft.jit(lambda x, a: x * a)(np.ones(2, np.float32), 2.0)
    assert out.dtype == np.float32  # a Python number gives way, traced or not
    out = ft.jit(lambda x, a: x * a)(np.ones(2, np.float32), np.float64(2.0))
    assert out.dtype == np.float64
    out = ft.jit(lambda x, a: x * np.sin(a))(np.ones(2, np.float32), 2.0)
    assert out.dtype == np.float64  # np.sin(2.0) is a NumPy float64
    out = ft.jit(lambda x, a: x * (a * 2 + 1))(np.ones(2, np.float32), 2.0)
    assert out.dtype == np.float32


def test_scalars_and_0d_arrays_are_alike() -> None:
    f = ft.jit(lambda x: x * 2.0)
    assert f(np.float64(1.0)) == f(np.array(1.0)) == 2.0
    assert type(f(np.array(1.0))) is np.float64
    assert f._cache_size() == 1


def test_tracer_is_public() -> None:
    seen = []
    ft.grad(lambda x: seen.append(isinstance(x, ft.Tracer)) or x * x)(1.0)
    assert seen == [True]
    assert isinstance(fnp.ones(2), ft.Array)
