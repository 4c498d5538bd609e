"""Kernels known again in another size: the same code as if they had been made anew."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as jnp
from functrace import nn
from functrace.compiler.codegen import loops
from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.codegen.templates import plain
from functrace.compiler.pipeline import compile_jaxpr
from functrace.compiler.runtime.build import cache_info
from functrace.compiler.runtime.cache import templates
from functrace.config import config

SIZES = [
    1,
    2,
    3,
    5,
    7,
    8,
    9,
    15,
    16,
    17,
    31,
    32,
    33,
    63,
    64,
    65,
    100,
    127,
    128,
    129,
    200,
    511,
    512,
    513,
    600,
]


def layer_norm(x: Any) -> Any:
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def loss(x: Any) -> Any:
    return -(nn.log_softmax(jnp.tanh(x), axis=-1) ** 2).mean()


#: What is jitted, and the shape of its argument for a size.
PROGRAMS: dict[str, tuple[Callable[..., Any], Callable[[int], tuple[int, ...]]]] = {
    "chain": (lambda x: jnp.sin(x) * 3.0 + x, lambda n: (n,)),
    "rows of 10": (lambda x: nn.softmax(x, axis=-1), lambda n: (n, 10)),
    "long rows": (lambda x: nn.softmax(x, axis=-1), lambda n: (7, n)),
    "layer norm": (layer_norm, lambda n: (n, 6)),
    "normalised rows": (layer_norm, lambda n: (5, n)),
    "columns": (lambda x: (x.sum(0), x.max(0)), lambda n: (n, 9)),
    "many columns": (lambda x: jnp.exp(x).sum(0), lambda n: (6, n)),
    "three columns": (lambda x: (x * x).sum(0), lambda n: (n, 3)),
    "all": (lambda x: (x * x).sum(), lambda n: (n, 300)),
    "transposed": (lambda x: x.T + 1.0, lambda n: (n, 130)),
    "turned": (lambda x: (x.T, x.T * 2.0), lambda n: (n, 130)),
    "all turned": (lambda x: x.T, lambda n: (40, n)),
    "crossed": (lambda x: x + x.T, lambda n: (n, n)),
    "reversed": (lambda x: x[::-1] * x[:, ::-1], lambda n: (n, 11)),
    "every third": (lambda x: jnp.exp(x[::3]), lambda n: (3 * n,)),
    "parts": (lambda x: jnp.concatenate([x[1:], x[:1] * 2.0]) + x, lambda n: (n, 4)),
    "mean": (lambda x: x.mean() + x.var(0), lambda n: (n, 5)),
    "gradient": (ft.grad(loss), lambda n: (n, 7)),
    "gradient of a part": (ft.grad(lambda x: jnp.tanh(x[..., 1:4]).sum()), lambda n: (n, 7)),
    "outer": (lambda x: x[:, None] * x[None, :], lambda n: (n,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_every_size_gives_the_right_values(name: str) -> None:
    # Checks are on in tests: each step that is found is also made anew, and compared.
    fun, shape = PROGRAMS[name]
    compiled = ft.jit(fun)
    rng = np.random.default_rng(0)
    for n in SIZES:
        x = rng.standard_normal(shape(n))
        for got, want in zip(ft.tree.leaves(compiled(x)), ft.tree.leaves(fun(x))):
            np.testing.assert_allclose(got, want, rtol=1e-9, atol=1e-11)


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The kernels that are made from now on, with nothing known before."""
    found: list[int] = []
    original = loops._made

    def noted(group: Any, *args: Any) -> list[StepCode]:
        found.append(group.index)
        return original(group, *args)

    monkeypatch.setattr(loops, "_made", noted)
    templates.clear()
    return found


def made_for(made: list[int], fun: Callable[..., Any], shapes: Sequence[tuple[int, ...]]) -> int:
    made.clear()
    with config.override(checks=False):
        for shape in shapes:
            compile_jaxpr(ft.make_jaxpr(fun)(np.zeros(shape)))
    return len(made)


def test_another_size_makes_no_kernel(made: list[int]) -> None:
    fun = ft.grad(loss)
    assert made_for(made, fun, [(200, 10)])
    assert made_for(made, fun, [(n, 10) for n in range(150, 250, 7)]) == 0


def test_equal_extents_are_told_from_different_ones(made: list[int]) -> None:
    outer = lambda x, y: x[:, None] * y[None, :]  # noqa: E731
    made.clear()
    with config.override(checks=False):
        for m, n in [(70, 90), (75, 95), (80, 80), (85, 85)]:
            compile_jaxpr(ft.make_jaxpr(outer)(np.zeros(m), np.zeros(n)))
    assert len(made) == 2


def test_constants_that_are_data_make_no_kernel(made: list[int]) -> None:
    assert made_for(made, lambda x: x * 0.3, [(90,)]) == 1
    assert made_for(made, lambda x: x * -0.7, [(90,)]) == 0
    assert made_for(made, lambda x: x * 2.0, [(90,)]) == 1


def test_folds_of_one_element_make_no_kernel(made: list[int]) -> None:
    fun = lambda x: (x * 3.5).sum(1)  # noqa: E731
    assert made_for(made, fun, [(90, 1)]) == 1
    assert made_for(made, fun, [(90, 1), (70, 1)]) == 0


def test_parameters_that_are_equal_but_not_the_same_are_told_apart() -> None:
    values = [0, 0.0, -0.0, False, np.float32(0), np.int8(0), None, "", (0,), (0.0,), (-0.0,)]
    assert len({plain(v) for v in values}) == len(values)


def test_clear_caches_forgets_them() -> None:
    ft.jit(lambda x: x * 1.25)(np.ones(9))
    assert len(templates)
    ft.clear_caches()
    assert not len(templates)


def training_step(params: Any, x: Any, y: Any) -> Any:
    """Adam on a small network."""

    def objective(params: Any) -> Any:
        (w1, b1, w2, b2) = params
        scores = jnp.maximum(x @ w1 + b1, 0.0) @ w2 + b2
        return -(nn.log_softmax(scores, axis=-1) * y).sum() / len(x)

    value, grads = ft.value_and_grad(objective)(params)
    return value, [p - 0.01 * g / (jnp.sqrt(g * g) + 1e-8) for p, g in zip(params, grads)]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_new_batch_size_compiles_no_kernel(dtype: str) -> None:
    rng = np.random.default_rng(0)
    shapes = [(64, 32), (32,), (32, 10), (10,)]
    params = [rng.standard_normal(s).astype(dtype) for s in shapes]
    step = ft.jit(training_step)

    def run(n: int) -> int:
        x, y = rng.standard_normal((n, 64)), rng.standard_normal((n, 10))
        before = cache_info().compiled
        with config.override(checks=False):
            step(params, x.astype(dtype), y.astype(dtype))
        return cache_info().compiled - before

    # The kernel of large products is one a dtype, for all programs there are.
    ft.jit(lambda a: a @ a)(np.ones((120, 120), dtype))
    for n in (1, 2, 32):
        run(n)
    assert {n: run(n) for n in SIZES if n > 4} == {n: 0 for n in SIZES if n > 4}
