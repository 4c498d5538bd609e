"""The same program on every backend: LLVM, its printed Numba source compiled, and interpreted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import functrace as ft
from functrace.compiler.pipeline import compile_jaxpr
from functrace.compiler.runtime.program import default_error
from functrace.compiler.runtime.steps import Step
from functrace.config import config

X = np.array([1.0, 2.0, 3.0])
M = np.arange(12.0).reshape(3, 4)


@pytest.fixture(params=["python", "numba"])
def backend(request: pytest.FixtureRequest) -> Iterator[str]:
    with config.override(backend=request.param):
        yield request.param


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "chain": (lambda x: np.tanh(x) * 2.0 + x, (X,)),
    "rows": (lambda m: (m - m.max(1, keepdims=True)) / m.sum(1, keepdims=True), (M,)),
    "product": (lambda m: m @ m.T + 1.0, (M,)),
    "half": (lambda x: x * x + np.float16(0.1), (X.astype(np.float16),)),
    "half sums": (lambda x: np.sum(x * x), (np.linspace(0, 60, 50).astype(np.float16),)),
    "complex": (lambda x: np.exp(1j * x) * x, (X,)),
    "integers": (lambda i: (i // 3, i % -2, i << 1), (np.arange(-5, 5),)),
    "indexed": (lambda x, i: x[i], (X, np.array([2, 0, -1]))),
    "numbers": (lambda x, k: x * k, (X, 3.0)),
    "unchanged": (lambda x: (x, x.T), (M,)),
    "strided": (lambda m: m[::-1, ::2].T * 2.0, (M.T,)),
    "sorted": (lambda m: np.sort(m[:, ::-1], 1), (M,)),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_backends_agree_to_the_bit(name: str, backend: str) -> None:
    f, args = PROGRAMS[name]
    other = ft.jit(f)
    got = [other(*args) for _ in range(3)][-1]
    with config.override(backend="llvm"):
        want = ft.jit(f)(*args)
    for a, b in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
        assert type(a) is type(b) and a.dtype == b.dtype
        assert_array_equal(a, b)


def test_errors_are_raised_again(backend: str) -> None:
    f = ft.jit(lambda x, i: x[i] * 2.0)
    assert f(X, 1) == 4.0
    for _ in range(2):
        with pytest.raises(IndexError, match="index 5 is out of bounds for axis 0 with size 3"):
            f(X, 5)
    assert f(X, -1) == 6.0


def test_calls_of_other_types_miss(backend: str) -> None:
    program = compile_jaxpr(ft.make_jaxpr(lambda x: x * 2.0)(X)).program
    assert_array_equal(program.call(X)[0], X * 2)
    for args in ((), (X, X), (X[:2],), (X.astype(np.float32),), (2.0,)):
        assert program.call(*args) is None
    assert "step 0" in program.as_text()
    out = np.zeros(3)
    program.run_into((X,), (out,))
    assert_array_equal(out, X * 2)


@pytest.mark.parametrize(
    "kind, error",
    [
        ("index", IndexError),
        ("nan", FloatingPointError),
        ("interrupt", KeyboardInterrupt),
        ("check", RuntimeError),
    ],
)
def test_every_kind_of_failure_has_its_exception(kind: str, error: type[BaseException]) -> None:
    made = default_error(Step("", label="solve"), kind, 0, (7, 0, 3))
    assert isinstance(made, error)
    if kind == "index":
        assert str(made) == "index 7 is out of bounds for axis 0 with size 3"
    elif kind != "interrupt":
        assert "solve" in str(made)
