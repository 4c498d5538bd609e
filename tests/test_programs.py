"""Programs in the style of JAX's tutorials give JAX's numbers; transformed, their own.

``tests/programs/expected.json`` holds what the same files return under the real JAX in float64
(see ``make_expected.py`` there).
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

import functrace as ft

HERE = Path(__file__).parent / "programs"


def _load_maker() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_expected", HERE / "make_expected.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MAKER = _load_maker()
EXPECTED = json.loads(MAKER.EXPECTED.read_text(encoding="utf-8"))["programs"]
TOLERANCES = {"float32": 2e-6, "complex64": 2e-6}


def differences(got: Any, want: Any, path: str = "") -> list[str]:
    """Where two encoded results differ, in words."""
    if isinstance(want, dict) and "dtype" in want:
        return _array_differences(got, want, path)
    if isinstance(want, dict):
        if not isinstance(got, dict) or got.keys() != want.keys():
            return [f"{path}: {got!r} is not {want!r}"]
        return [d for key in want for d in differences(got[key], want[key], f"{path}.{key}")]
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return [f"{path}: {got!r} is not {want!r}"]
        pairs = zip(got, want, strict=True)
        return [d for i, (g, w) in enumerate(pairs) for d in differences(g, w, f"{path}[{i}]")]
    return [] if got == want else [f"{path}: {got!r} is not {want!r}"]


def _array_differences(got: Any, want: dict[str, Any], path: str) -> list[str]:
    if not isinstance(got, dict) or "dtype" not in got:
        return [f"{path}: {got!r} is not an array"]
    if (got["dtype"], got["shape"]) != (want["dtype"], want["shape"]):
        found, due = (f"{a['dtype']}{a['shape']}" for a in (got, want))
        return [f"{path}: {found} is not {due}"]
    tolerance = TOLERANCES.get(want["dtype"], 1e-9)
    a, b = np.array(got["data"], dtype=float), np.array(want["data"], dtype=float)
    if np.allclose(a, b, rtol=tolerance, atol=tolerance * 1e-2, equal_nan=True):
        return []
    return [f"{path}: {a} is not {b}"]


def test_there_is_a_result_for_each_program() -> None:
    assert set(MAKER.PROGRAMS) == set(EXPECTED)
    assert len(EXPECTED) >= 20


@pytest.mark.parametrize("name", MAKER.PROGRAMS)
def test_gives_the_numbers_of_jax(name: str) -> None:
    got = MAKER.encode(MAKER.load(name).main())
    assert differences(got, EXPECTED[name]) == []


# ------------------------------------------------------------------- the same, transformed

CASES = [
    pytest.param(function, args, id=f"{name}-{i}")
    for name in MAKER.PROGRAMS
    for i, (function, args) in enumerate(MAKER.load(name).TRANSFORMABLE)
]


def assert_close(got: Any, want: Any) -> None:
    assert ft.tree.structure(got) == ft.tree.structure(want)
    for g, w in zip(ft.tree.leaves(got), ft.tree.leaves(want), strict=True):
        np.testing.assert_allclose(g, w, rtol=1e-9, atol=1e-11)


def total(function: Callable[..., Any]) -> Callable[..., Any]:
    """A scalar function: all outputs added."""

    def run(*args: Any) -> Any:
        return sum(leaf.sum() for leaf in ft.tree.leaves(function(*args)))

    return run


def evaluate(function: Callable[..., Any], args: tuple[Any, ...]) -> Any:
    """The value, computed on concrete traced arrays: only those have ``.at``."""
    return ft.vjp(function, *args)[0]


@pytest.mark.parametrize(("function", "args"), CASES)
def test_jit_changes_nothing(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    assert_close(ft.jit(function)(*args), evaluate(function, args))


@pytest.mark.parametrize(("function", "args"), CASES)
def test_grad_and_jit_commute(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    argnums = tuple(range(len(args)))
    plain = ft.grad(total(function), argnums)(*args)
    assert_close(ft.grad(ft.jit(total(function)), argnums)(*args), plain)
    assert_close(ft.jit(ft.grad(total(function), argnums))(*args), plain)


@pytest.mark.parametrize(("function", "args"), CASES)
def test_forward_and_reverse_agree(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    direction = ft.tree.map(lambda a: np.cos(np.arange(np.size(a))).reshape(np.shape(a)), args)
    _, tangent = ft.jvp(total(function), args, direction)
    gradient = ft.grad(total(function), tuple(range(len(args))))(*args)
    pairs = zip(ft.tree.leaves(gradient), ft.tree.leaves(direction), strict=True)
    np.testing.assert_allclose(tangent, sum(np.sum(g * d) for g, d in pairs), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("function", "args"), CASES)
def test_vmap_is_a_loop(function: Callable[..., Any], args: tuple[Any, ...]) -> None:
    scales = (1.0, 1.1, 0.9)
    lanes = [ft.tree.map(lambda a, s=s: np.asarray(a) * s, args) for s in scales]
    batch = ft.tree.map(lambda *rows: np.stack(rows), *lanes)
    want = [evaluate(function, lane) for lane in lanes]
    stacked = ft.tree.map(lambda *rows: np.stack([np.asarray(r) for r in rows]), *want)
    assert_close(ft.vmap(function)(*batch), stacked)
    assert_close(ft.jit(ft.vmap(function))(*batch), stacked)
