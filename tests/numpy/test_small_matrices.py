"""eigh and svd of matrices with a few rows are written out: valid, with LAPACK's signs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace import lax
from functrace import numpy as fnp

EPS = 2.0**-52
RNG = np.random.default_rng(27)
SIZES = (1, 2, 3, 4)


def symmetric(n: int, many: int = 200) -> Any:
    a = RNG.normal(size=(many, n, n))
    return a + np.swapaxes(a, 1, 2)


@ft.jit
def eigh(a: Any) -> Any:
    return tuple(fnp.linalg.eigh(a))


@pytest.mark.parametrize("triangle", ["L", "U"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", SIZES)
def test_it_is_numpys_with_its_signs(n: int, dtype: Any, triangle: Any) -> None:
    a = symmetric(n).astype(dtype)
    other = np.triu(a, 1) if triangle == "L" else np.tril(a, -1)
    a = a + 7 * other  # The other triangle isn't read.
    lower = triangle == "L"
    v, w = ft.jit(lambda a: lax.linalg.eigh(a, lower=lower, symmetrize_input=False))(a)
    expected = np.linalg.eigh(a, triangle)
    rtol = 1e-11 if dtype is np.float64 else 1e-6
    assert w.dtype == v.dtype == dtype
    np.testing.assert_allclose(w, expected[0], rtol, 10 * rtol)
    np.testing.assert_allclose(v, expected[1], rtol, 10 * rtol)
    whole = np.tril(a) if lower else np.triu(a)
    whole = whole + np.swapaxes(whole, 1, 2) - whole * np.eye(n, dtype=dtype)
    assert_same(ft.jit(lambda a: fnp.linalg.eigh(a, triangle))(whole), (w, v))
    assert_same([ft.jit(lambda a: fnp.linalg.eigvalsh(a, triangle))(whole)], [w])


def structured(n: int) -> dict[str, Any]:
    a, many = symmetric(n), 200
    graded = 10.0 ** RNG.uniform(-70, 70, (many, n))
    signs = RNG.integers(-1, 2, (many, n)).astype(float)
    basis = np.linalg.qr(a)[0]
    repeated = (basis * signs[:, None]) @ np.swapaxes(basis, 1, 2)
    whole = np.round(a)
    return {
        "zero": np.zeros((1, n, n)),
        "diagonal": np.eye(n) * RNG.normal(size=(many, 1, n)),
        "whole numbers": whole,
        "zeros among them": whole * RNG.integers(0, 2, (many, 1, n)) * np.eye(n) + np.eye(n)[::-1],
        "repeated": (repeated + np.swapaxes(repeated, 1, 2)) / 2,
        "rank one": signs[:, :, None] * signs[:, None],
        "graded": a * graded[:, :, None] * graded[:, None],
        "nearly diagonal": np.eye(n) + 1e-16 * a,
        "huge": np.ldexp(a / 16, 1020),
        "small": np.ldexp(a, -1000),
        "below normal": np.ldexp(np.round(1000 * a), -1074),
    }


@pytest.mark.parametrize("name", sorted(structured(2)))
@pytest.mark.parametrize("n", SIZES)
def test_factors_of_special_matrices(n: int, name: str) -> None:
    a = structured(n)[name]
    w, v = eigh(a)
    size = np.abs(a).max(axis=(1, 2), keepdims=True)
    power = np.frexp(size)[1]
    scaled, values = np.ldexp(a, -power), np.ldexp(w, -power[:, 0])
    assert (np.diff(w) >= 0).all()
    assert np.abs(np.swapaxes(v, 1, 2) @ v - np.eye(n)).max() <= 16 * EPS
    # Numbers below the normal ones have fewer digits.
    unit = np.maximum(EPS, np.ldexp(1.0, -1074 - power)) if name == "below normal" else EPS
    assert (np.abs(scaled @ v - v * values[:, None]) <= 16 * unit).all()
    if name in ("diagonal", "zero"):
        np.testing.assert_array_equal(w, np.sort(np.diagonal(a, 0, 1, 2)))
        assert set(np.unique(np.abs(v))) <= {0.0, 1.0}


@pytest.mark.parametrize("n", SIZES)
def test_a_batch_is_each_alone_by_any_number_of_threads(n: int) -> None:
    a = symmetric(n, 45)
    w, v = eigh(a)
    assert_same(ft.jit(ft.vmap(fnp.linalg.eigh))(a), (w, v))
    nested = ft.jit(ft.vmap(ft.vmap(fnp.linalg.eigh)))(a.reshape(5, 9, n, n))
    assert_same(nested, (w.reshape(5, 9, n), v.reshape(5, 9, n, n)))
    for k in (0, 17, 44):
        assert_same(eigh(a[k]), (w[k], v[k]))
    for threads in (1, 2, 3):
        assert_same(ft.jit(lambda a: tuple(fnp.linalg.eigh(a)), threads=threads)(a), (w, v))


def assert_same(got: Any, expected: Any) -> None:
    for x, y in zip(got, expected, strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("n", SIZES)
def test_a_loop_around_it_is_one_kernel(n: int) -> None:
    a = symmetric(n, 6)

    def run(a: Any) -> Any:
        def step(carry: Any, x: Any) -> Any:
            w, v = fnp.linalg.eigh(x + 0.1 * carry)
            return v * w, w

        return lax.scan(step, fnp.zeros_like(a[0]), a)

    plan = ft.jit(run).lower(a).as_text("plan")
    assert "\ngroup 0: sequence\n" in plan
    assert "\ngroup 1" not in plan
    end, values = ft.jit(run)(a)
    carry = np.zeros((n, n))
    for x, w in zip(a, values, strict=True):
        expected, v = eigh(x + 0.1 * carry)
        np.testing.assert_allclose(w, expected, rtol=1e-12, atol=1e-12)
        carry = v * expected
    np.testing.assert_allclose(end, carry, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite(value: float) -> None:
    for n in SIZES:
        a = symmetric(n, 40)
        a[33, -1, 0] = value
        if n > 2:
            for f in (eigh, ft.jit(fnp.linalg.eigvalsh)):
                with pytest.raises(np.linalg.LinAlgError, match="Eigenvalues did not converge"):
                    f(a)
            continue
        w, _ = eigh(a)
        np.testing.assert_array_equal(
            np.isnan(w).any(1), np.arange(40) == (33 if n > 1 or value != value else -1)
        )


# --- svd -----------------------------------------------------------------------------------------

RECTANGLES = [(m, n) for m in SIZES for n in SIZES]


@ft.jit
def svd(a: Any) -> Any:
    return tuple(fnp.linalg.svd(a))


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("m", "n"), RECTANGLES)
def test_svd_is_numpys_with_its_signs(m: int, n: int, dtype: Any, full: bool) -> None:
    a = RNG.normal(size=(200, m, n)).astype(dtype)
    got = ft.jit(lambda a: tuple(fnp.linalg.svd(a, full)))(a)
    for x, y in zip(got, np.linalg.svd(a, full), strict=True):
        assert x.dtype == dtype
        np.testing.assert_allclose(x, y, 0, 1e-10 if dtype is np.float64 else 1e-5)
    only = ft.jit(lambda a: fnp.linalg.svd(a, compute_uv=False))(a)
    assert_same([only], [got[1]])


def structured_rectangles(m: int, n: int) -> dict[str, Any]:
    a, many = RNG.normal(size=(200, m, n)), 200
    rows, columns = (10.0 ** RNG.uniform(-60, 60, (many, *k)) for k in ((m, 1), (1, n)))
    return {
        "zero": np.zeros((1, m, n)),
        "diagonal": np.eye(m, n) * RNG.normal(size=(many, 1, n)),
        "whole numbers": RNG.integers(-1, 2, (many, m, n)).astype(float),
        "rank one": a[:, :, :1] * a[:, :1, :],
        "part of orthonormal": np.linalg.qr(RNG.normal(size=(many, 4, 4)))[0][:, :m, :n],
        "graded rows": a * rows,
        "graded columns": a * columns,
        "nearly diagonal": np.eye(m, n) + 1e-15 * a,
        "triangles": np.triu(a),
        "huge": np.ldexp(a / 16, 1020),
        "small": np.ldexp(a, -1000),
    }


@pytest.mark.parametrize("name", sorted(structured_rectangles(2, 2)))
@pytest.mark.parametrize(("m", "n"), RECTANGLES)
def test_singular_vectors_of_special_matrices(m: int, n: int, name: str) -> None:
    a = structured_rectangles(m, n)[name]
    u, s, vh = svd(a)
    k = min(m, n)
    size = np.abs(a).max(axis=(1, 2), keepdims=True)
    power = np.frexp(size)[1]
    scaled, values = np.ldexp(a, -power), np.ldexp(s, -power[:, 0])
    assert (np.diff(s) <= 0).all()
    assert (s >= 0).all()
    for q in (u, vh):
        assert np.abs(np.swapaxes(q, 1, 2) @ q - np.eye(q.shape[1])).max() <= 16 * EPS
    # LAPACK neglects what is below a hundred of its units.
    rebuilt = (u[:, :, :k] * values[:, None]) @ vh[:, :k]
    assert np.abs(rebuilt - scaled).max() <= 160 * EPS
    if name in ("diagonal", "zero"):
        diagonals = np.abs(np.diagonal(a, 0, 1, 2))
        np.testing.assert_array_equal(s, np.sort(diagonals)[:, ::-1])


@pytest.mark.parametrize(("m", "n"), [(2, 2), (3, 3), (4, 4), (4, 2), (2, 3), (3, 4)])
def test_a_batch_of_svds_is_each_alone(m: int, n: int) -> None:
    a = RNG.normal(size=(45, m, n))
    found = svd(a)
    assert_same(ft.jit(ft.vmap(fnp.linalg.svd))(a), found)
    nested = ft.jit(ft.vmap(ft.vmap(fnp.linalg.svd)))(a.reshape(5, 9, m, n))
    assert_same([x.reshape(45, *x.shape[2:]) for x in nested], found)
    for k in (0, 17, 44):
        assert_same(svd(a[k]), [x[k] for x in found])

    def run(a: Any) -> Any:
        return lax.scan(lambda c, x: (c + 1, fnp.linalg.svd(x)), 0, a)[1]

    plan = ft.jit(run).lower(a).as_text("plan")
    assert "\ngroup 0: sequence\n" in plan
    assert_same(ft.jit(run)(a), found)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_svd_of_what_is_not_finite(value: float) -> None:
    for m, n in RECTANGLES:
        a = RNG.normal(size=(40, m, n))
        a[33, -1, 0] = value
        for f in (svd, ft.jit(lambda a: fnp.linalg.svd(a, compute_uv=False))):
            with pytest.raises(np.linalg.LinAlgError, match="SVD did not converge"):
                f(a)
