"""Ejected factorisations: NumPy's or plain loops, equal up to rounding, with the same errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import functrace as ft
from functrace import lax
from functrace.scipy import linalg as scipy_linalg

RNG = np.random.default_rng(11)
SQUARE = RNG.normal(size=(20, 20)) + 9 * np.eye(20)
SPD = SQUARE @ SQUARE.T
TALL = RNG.normal(size=(4, 30, 9))
COMPLEX = SQUARE + 1j * RNG.normal(size=(20, 20))
SIDES = RNG.normal(size=(20, 3))


def through(*names: str) -> Callable[..., Any]:
    """Return the function that goes through a triangular solve with these options on."""
    options: dict[str, Any] = {"left_side": False, "lower": False} | dict.fromkeys(names, True)

    def solve(a: Any, b: Any) -> Any:
        b = b if options["left_side"] else b.T
        return lax.linalg.triangular_solve(a, b, **options)

    return solve


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "cholesky": (np.linalg.cholesky, (SPD,)),
    "gradient of cholesky": (ft.grad(lambda a: np.sum(np.linalg.cholesky(a) ** 3)), (SPD,)),
    "solve": (np.linalg.solve, (SQUARE, SIDES)),
    "solve float32": (np.linalg.solve, (SQUARE.astype(np.float32), SIDES.astype(np.float32))),
    "gradient of solve": (ft.grad(lambda a: np.sum(np.linalg.solve(a, SIDES) ** 2)), (SQUARE,)),
    "complex inverse": (np.linalg.inv, (COMPLEX,)),
    "determinant": (np.linalg.slogdet, (SQUARE[::-1],)),
    "wide factors": (lambda a: scipy_linalg.lu(a), (TALL[0].T,)),
    "qr": (np.linalg.qr, (TALL,)),
    "complete qr": (lambda a: np.linalg.qr(a, "complete"), (TALL[1],)),
    "eigh": (np.linalg.eigh, (SPD,)),
    "eigenvalues": (np.linalg.eigvalsh, (COMPLEX @ COMPLEX.conj().T,)),
    "svd": (lambda a: np.linalg.svd(a, full_matrices=False), (TALL,)),
    "singular values": (lambda a: np.linalg.svd(a, compute_uv=False), (TALL,)),
    "in a loop": (
        lambda a: lax.fori_loop(0, 3, lambda i, x: np.linalg.solve(x, a) + a, a),
        (SQUARE,),
    ),
    "lower": (through("left_side", "lower"), (COMPLEX, SIDES + 0j)),
    "upper": (through("left_side"), (SQUARE, SIDES)),
    "transposed": (through("left_side", "transpose_a"), (SQUARE, SIDES)),
    "adjoint": (through("left_side", "transpose_a", "conjugate_a"), (COMPLEX, SIDES + 0j)),
    "from the right": (through("lower"), (SQUARE, SIDES)),
    "adjoint from the right": (through("transpose_a", "conjugate_a"), (COMPLEX, SIDES + 0j)),
    "unit diagonal": (through("left_side", "lower", "unit_diagonal"), (SQUARE / 9, SIDES)),
}


def load(path: Path) -> Callable[..., Any]:
    """Run a module in this process and return its function."""
    text = path.read_text()
    assert "functrace" not in text.split('"""', 2)[2]
    scope: dict[str, Any] = {"__file__": str(path)}
    exec(compile(text, str(path), "exec"), scope)
    return scope["function"]  # type: ignore[no-any-return]


def ejected(f: Callable[..., Any], path: Path, *args: Any) -> Callable[..., Any]:
    def function(*args: Any) -> Any:
        return f(*args)

    return load(ft.jit(function).eject(path, *args))


@pytest.mark.parametrize("name", PROGRAMS)
def test_factorisations_without_functrace(name: str, tmp_path: Path) -> None:
    f, args = PROGRAMS[name]
    wanted = ft.tree.leaves(ft.jit(f)(*args))
    found = ft.tree.leaves(ejected(f, tmp_path / "module.py", *args)(*args))
    for a, b in zip(found, wanted, strict=True):
        assert a.dtype == b.dtype and a.shape == b.shape
        close = 1e-11 if a.dtype.itemsize > 4 else 1e-4
        assert_allclose(a, b, rtol=close, atol=close * np.abs(b).max())


@pytest.mark.parametrize(
    ("f", "message"),
    [
        (np.linalg.cholesky, "Matrix is not positive definite"),
        (lambda a: np.linalg.solve(a, SIDES), "Singular matrix"),
        (np.linalg.eigh, "Eigenvalues did not converge"),
        (np.linalg.svd, "SVD did not converge"),
    ],
)
def test_failures_are_the_compiled_programs(
    f: Callable[..., Any], message: str, tmp_path: Path
) -> None:
    bad = np.zeros((20, 20)) if "converge" not in message else np.full((20, 20), np.nan)
    for function in (ft.jit(f), ejected(f, tmp_path / "module.py", bad)):
        with pytest.raises(np.linalg.LinAlgError, match=message):
            function(bad)
