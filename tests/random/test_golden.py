"""The same key gives JAX's numbers: exactly, or up to rounding where LAPACK comes in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from draws import SEEDS, Draw, cases

import functrace
from functrace import random

GOLDEN = np.load(Path(__file__).with_name("golden.npz"))
ROUNDING = {"float32": 16, "float64": 32}
"""How many epsilons of 1, or of the number itself, JAX's numbers may be off."""

CASES = [pytest.param(*case, id=case[0]) for case in cases()]


@pytest.mark.parametrize(("name", "draw", "dtype", "exact"), CASES)
def test_numbers_are_those_of_jax(name: str, draw: Draw, dtype: str, exact: bool) -> None:
    got = np.stack([draw(random, random.key(seed), dtype) for seed in SEEDS])
    want = GOLDEN[name]
    if name.startswith("categorical once"):
        want = want.astype(np.int64)  # JAX's top_k counts in int32
    assert got.dtype == want.dtype
    if exact:
        np.testing.assert_array_equal(got, want)
        return
    off = np.abs(got - want) / np.maximum(np.abs(want), 1)
    assert off.max() <= ROUNDING[dtype] * np.finfo(dtype).eps


def test_every_function_has_golden_values() -> None:
    drawing = set(random.__all__) - {"PRNGKey", "clone", "key_data", "key_impl", "wrap_key_data"}
    assert drawing <= {name.split()[0] for name, *_ in cases()}


VARIANTS = [
    pytest.param(draw, dtype, exact, id=name)
    for name, draw, dtype, exact in cases()
    if dtype in ("", "float64", "uint8", "int32", "complex64")
]


@pytest.mark.parametrize(("draw", "dtype", "exact"), VARIANTS)
def test_compiled_and_mapped_draws_are_the_same(draw: Draw, dtype: str, exact: bool) -> None:
    """Called, under ``jit``, and mapped over keys."""

    def one(key: Any) -> Any:
        return draw(random, key, dtype)

    keys = np.stack([random.key(seed) for seed in SEEDS[:3]])
    called = np.stack([one(key) for key in keys])
    jitted = functrace.jit(one)
    for got in (np.stack([jitted(key) for key in keys]), functrace.vmap(one)(keys)):
        assert got.dtype == called.dtype
        if exact:
            np.testing.assert_array_equal(got, called)
        else:
            eps = np.finfo(called.dtype).eps
            np.testing.assert_allclose(got, called, 64 * eps, 64 * eps)
