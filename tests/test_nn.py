"""functrace.nn: activations, the softmax family, one_hot, standardize, initializers."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.special
from function_checks import (
    assert_same,
    check_all,
    check_derivative,
    check_traced,
    check_vmap,
    staged,
)

import functrace
from functrace import nn

X = np.array([-30.0, -4.0, -2.5, -0.7, -0.1, 0.3, 0.9, 2.2, 3.5, 8.0, 40.0])


def sigmoid(x: np.ndarray) -> np.ndarray:
    return scipy.special.expit(x)


def softplus(x: np.ndarray) -> np.ndarray:
    return np.logaddexp(x, 0)


ACTIVATIONS = {
    "relu": lambda x: np.maximum(x, 0),
    "relu6": lambda x: np.clip(x, 0, 6),
    "hard_tanh": lambda x: np.clip(x, -1, 1),
    "hard_sigmoid": lambda x: np.clip(x + 3, 0, 6) / 6,
    "hard_silu": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "hard_swish": lambda x: x * np.clip(x + 3, 0, 6) / 6,
    "leaky_relu": lambda x: np.where(x >= 0, x, 0.01 * x),
    "identity": lambda x: x,
    "sigmoid": sigmoid,
    "log_sigmoid": lambda x: -softplus(-x),
    "softplus": softplus,
    "silu": lambda x: x * sigmoid(x),
    "swish": lambda x: x * sigmoid(x),
    "mish": lambda x: x * np.tanh(softplus(x)),
    "tanh": np.tanh,
    "elu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "celu": lambda x: np.where(x > 0, x, np.expm1(np.minimum(x, 0))),
    "selu": lambda x: (
        1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(np.minimum(x, 0)))
    ),
    "gelu": lambda x: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "soft_sign": lambda x: x / (1 + np.abs(x)),
    "squareplus": lambda x: (x + np.sqrt(x * x + 4)) / 2,
    "sparse_plus": lambda x: np.where(x <= -1, 0, np.where(x >= 1, x, (x + 1) ** 2 / 4)),
    "sparse_sigmoid": lambda x: np.clip((x + 1) / 2, 0, 1),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    fun = getattr(nn, name)
    check_traced(fun, X, plain=ACTIVATIONS[name], rtol=1e-12)
    single = X.astype(np.float32)
    assert staged(fun, single).dtype == np.float32
    assert_same(fun(X), ACTIVATIONS[name](X), rtol=1e-12)
    check_derivative(fun, X)
    check_vmap(fun, X)


def test_precise_tails() -> None:
    x = np.array([-700.0, -40.0, 40.0, 700.0])
    np.testing.assert_allclose(nn.softplus(x), softplus(x), rtol=1e-15)
    np.testing.assert_allclose(nn.log_sigmoid(x), -softplus(-x), rtol=1e-15)
    np.testing.assert_allclose(nn.gelu(x, approximate=False), x * scipy.special.ndtr(x), rtol=1e-13)
    grad = functrace.grad(lambda x: nn.softplus(x).sum())(
        np.array([-np.inf, -800.0, 0, 800, np.inf])
    )
    np.testing.assert_allclose(grad, [0, 0, 0.5, 1, 1])
    near = np.array([1e-12, 0.1, 0.7, 2.0, 50.0])
    np.testing.assert_allclose(nn.log1mexp(near), np.log(-np.expm1(-near)), rtol=1e-12, atol=1e-20)
    check_derivative(nn.log1mexp, near[1:4])


def test_kinks() -> None:
    grad = functrace.grad
    assert grad(nn.relu)(0.0) == 0.0
    assert grad(nn.relu6)(0.0) == grad(nn.relu6)(6.0) == 0.0
    assert grad(nn.hard_sigmoid)(-3.0) == grad(nn.hard_sigmoid)(3.0) == 0.0
    assert grad(nn.elu)(0.0) == 1.0
    assert grad(nn.leaky_relu)(0.0) == 1.0
    assert np.isnan(nn.relu(np.nan))
    assert nn.relu(np.array([-1, 2])).dtype == np.int64
    assert nn.sigmoid(0) == 0.5
    check_derivative(lambda x: nn.celu(x, 2.0), X)
    check_derivative(lambda x: nn.gelu(x, approximate=False), X)
    assert_same(nn.celu(X, 2.0), np.where(X > 0, X, 2 * np.expm1(np.minimum(X, 0) / 2)))


def test_glu() -> None:
    x = np.linspace(-2, 2, 12).reshape(2, 6)
    check_all(nn.glu, x)
    check_traced(lambda x: nn.glu(x, 0), x, plain=lambda x: x[:1] * sigmoid(x[1:]))
    with pytest.raises(ValueError, match="odd"):
        nn.glu(x[:, :5])


# --- the softmax family ------------------------------------------------------------------------

ROWS = np.random.default_rng(2).standard_normal((3, 5)) * 3
MASK = ROWS > -1
MASK[:, 0] = True


@pytest.mark.parametrize("axis", [-1, 0, (0, 1), None])
def test_softmax(axis: object) -> None:
    check_traced(
        lambda x: nn.softmax(x, axis), ROWS, plain=lambda x: scipy.special.softmax(x, axis)
    )
    check_traced(
        lambda x: nn.log_softmax(x, axis), ROWS, plain=lambda x: scipy.special.log_softmax(x, axis)
    )
    check_all(lambda x: nn.softmax(x, axis), ROWS)
    check_all(lambda x: nn.log_softmax(x, axis), ROWS)
    assert staged(lambda x: nn.softmax(x, axis), ROWS.astype(np.float32)).dtype == np.float32


def test_softmax_with_where() -> None:
    low = np.where(MASK, ROWS, -np.inf)
    check_traced(
        lambda x: nn.softmax(x, where=MASK), ROWS, plain=lambda x: scipy.special.softmax(low, -1)
    )
    check_traced(
        lambda x: nn.log_softmax(x, where=MASK),
        ROWS,
        plain=lambda x: scipy.special.log_softmax(low, -1),
    )
    check_derivative(lambda x: nn.softmax(x, where=MASK), ROWS)
    check_derivative(lambda x: np.where(MASK, nn.log_softmax(x, where=MASK), 0.0), ROWS)
    assert_same(nn.softmax(np.array([1e4, 1e4])), np.array([0.5, 0.5]))
    with pytest.raises(ValueError, match="no elements"):
        nn.softmax(np.zeros((2, 0)))


def test_logsumexp() -> None:
    b = np.random.default_rng(3).standard_normal((3, 5))
    for options in (
        {},
        {"axis": 1},
        {"axis": (0, 1), "keepdims": True},
        {"axis": -1, "b": abs(b)},
        {"axis": 0, "b": b, "return_sign": True},
    ):
        check_traced(
            lambda x, o=options: nn.logsumexp(x, **o),
            ROWS,
            plain=lambda x, o=options: (
                tuple(scipy.special.logsumexp(x, **o))
                if "return_sign" in o
                else scipy.special.logsumexp(x, **o)
            ),
        )
    check_all(lambda x: nn.logsumexp(x, 1), ROWS)
    check_derivative(lambda x, b: nn.logsumexp(x, 1, b), ROWS, abs(b))
    check_derivative(lambda x: nn.logsumexp(x, 1, where=MASK), ROWS)
    assert_same(nn.logsumexp(np.array([-np.inf, -np.inf])), np.float64(-np.inf))
    assert_same(nn.logsumexp(np.array([np.inf, 1.0])), np.float64(np.inf))
    gradient = functrace.grad(lambda x: nn.logsumexp(x, 1)[0])(np.array([[0.0, -np.inf], [1, 1]]))
    assert_same(gradient, np.array([[1.0, 0.0], [0, 0]]))
    nothing = functrace.grad(lambda x: np.sum(nn.logsumexp(x, 1)[1:]))(
        np.array([[-np.inf, -np.inf], [0.0, 0.0]])
    )
    assert_same(nothing, np.array([[0.0, 0.0], [0.5, 0.5]]))
    dead = functrace.grad(lambda x: nn.logsumexp(x))(np.array([-np.inf, -np.inf]))
    assert np.all(np.isfinite(dead))


def test_logmeanexp() -> None:
    check_all(lambda x: nn.logmeanexp(x, 1), ROWS)
    check_traced(
        lambda x: nn.logmeanexp(x, (0, 1), keepdims=True),
        ROWS,
        plain=lambda x: np.log(np.mean(np.exp(x), keepdims=True)),
    )
    check_traced(
        lambda x: nn.logmeanexp(x, 1, where=MASK),
        ROWS,
        plain=lambda x: np.log(np.mean(np.exp(x), 1, where=MASK)),
    )


def test_standardize() -> None:
    def plain(x: np.ndarray, **options: object) -> np.ndarray:
        return (x - x.mean(-1, keepdims=True, **options)) / np.sqrt(
            x.var(-1, keepdims=True, **options) + 1e-5
        )

    check_traced(nn.standardize, ROWS, plain=plain)
    check_traced(
        lambda x: nn.standardize(x, where=MASK), ROWS, plain=lambda x: plain(x, where=MASK)
    )
    check_traced(lambda x: nn.standardize(x, 0, 0.0, 4.0, 0.0), ROWS, plain=lambda x: x / 2)
    check_all(lambda x: nn.standardize(x, (0, 1)), ROWS)
    assert_same(nn.standardize(np.ones((2, 3))), np.zeros((2, 3)))


def test_one_hot() -> None:
    i = np.array([[0, 2], [3, -1]])
    plain = np.concatenate([np.eye(4), np.zeros((1, 4))])[[[0, 2], [3, 4]]]
    check_traced(lambda i: nn.one_hot(i, 4), i, plain=lambda i: plain)
    check_traced(
        lambda i: nn.one_hot(i, 4, dtype=np.int8, axis=0),
        i,
        plain=lambda i: np.moveaxis(plain, -1, 0).astype(np.int8),
    )
    check_vmap(lambda i: nn.one_hot(i, 4), i)
    assert_same(nn.one_hot(1, 3), np.array([0.0, 1, 0]))
    assert_same(nn.one_hot(np.array([True, False]), 2), np.array([[0.0, 1], [1, 0]]))
    with pytest.raises(TypeError, match="indices"):
        nn.one_hot(np.array([1j]), 3)


# --- initializers ------------------------------------------------------------------------------

SCALED = {
    "glorot_uniform": (1, "avg"),
    "glorot_normal": (1, "avg"),
    "xavier_uniform": (1, "avg"),
    "xavier_normal": (1, "avg"),
    "lecun_uniform": (1, "in"),
    "lecun_normal": (1, "in"),
    "he_uniform": (2, "in"),
    "he_normal": (2, "in"),
    "kaiming_uniform": (2, "in"),
    "kaiming_normal": (2, "in"),
}


@pytest.mark.parametrize("name", SCALED)
def test_variance_scaling(name: str) -> None:
    scale, mode = SCALED[name]
    init = getattr(nn.initializers, name)()
    w = init(np.random.default_rng(0), (3, 100, 200), np.float32)
    assert w.dtype == np.float32
    assert type(w) is np.ndarray
    fan = 300 if mode == "in" else (300 + 600) / 2
    np.testing.assert_allclose(w.var(), scale / fan, rtol=0.03)
    np.testing.assert_array_equal(w, init(np.random.default_rng(0), (3, 100, 200), np.float32))


def test_initializers() -> None:
    init = nn.initializers
    rng = np.random.default_rng(0)
    assert_same(init.zeros(rng, (2, 3)), np.zeros((2, 3)))
    assert_same(init.ones(rng, (2,), np.int8), np.ones(2, np.int8))
    assert_same(init.constant(2.5)(rng, (2,)), np.full(2, 2.5))
    u = init.uniform(0.1)(rng, (1000,))
    assert u.min() >= 0 and u.max() < 0.1
    np.testing.assert_allclose(init.normal(0.5)(rng, (40000,)).std(), 0.5, rtol=0.03)
    z = init.normal(1.0, np.complex128)(rng, (40000,))
    np.testing.assert_allclose(np.abs(z).std() ** 2 + np.abs(z).mean() ** 2, 1.0, rtol=0.05)
    t = init.truncated_normal(0.5)(rng, (1000,))
    assert np.abs(t).max() <= 1.0
    for mode in ("fan_out", "fan_geo_avg"):
        w = init.variance_scaling(1.0, mode, "normal")(rng, (100, 400))
        np.testing.assert_allclose(w.var(), 1 / (400 if mode == "fan_out" else 200), rtol=0.05)
    several = init.variance_scaling(1.0, "fan_in", "uniform", in_axis=(0, 1), batch_axis=2)
    np.testing.assert_allclose(several(rng, (30, 20, 2, 50)).var(), 1 / 600, rtol=0.05)
    for shape in ((6, 4), (4, 6), (2, 3, 4)):
        q = init.orthogonal(2.0)(rng, shape).reshape(-1, shape[-1])
        gram = q.T @ q if q.shape[0] >= q.shape[1] else q @ q.T
        np.testing.assert_allclose(gram, 4 * np.eye(len(gram)), atol=1e-12)
    with pytest.raises(ValueError, match="2D"):
        init.glorot_normal()(rng, (3,))
    with pytest.raises(ValueError, match="mode"):
        init.variance_scaling(1.0, "fan", "normal")(rng, (3, 3))
    with pytest.raises(ValueError, match="distribution"):
        init.variance_scaling(1.0, "fan_in", "cauchy")(rng, (3, 3))
    with pytest.raises(ValueError, match="2D"):
        init.orthogonal()(rng, (3,))
