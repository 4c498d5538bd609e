"""Products: dot, matmul, einsum, tensordot, inner, outer, kron, cross, trace, multi_dot."""

from __future__ import annotations

import numpy as np
import pytest
from function_checks import check_all, check_derivative, check_traced, check_vmap, staged

import functrace
from functrace.numpy import products as p
from functrace.numpy.einsum import einsum, einsum_path

DTYPES = [
    "bool",
    "int8",
    "int64",
    "uint8",
    "float16",
    "float32",
    "float64",
    "complex64",
    "complex128",
]


def make(shape: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        return rng.random(shape) < 0.5
    if dtype.startswith(("int", "uint")):
        return rng.integers(0, 5, shape).astype(dtype)
    x = rng.standard_normal(shape)
    if dtype.startswith("complex"):
        x = x + 1j * rng.standard_normal(shape)
    return x.astype(dtype)


MATMUL = [
    ((3,), (3,)),
    ((2, 3), (3,)),
    ((3,), (3, 4)),
    ((2, 3), (3, 4)),
    ((5, 2, 3), (3, 4)),
    ((5, 2, 3), (3,)),
    ((3,), (5, 3, 4)),
    ((2, 3), (5, 3, 4)),
    ((5, 2, 3), (5, 3, 4)),
    ((1, 2, 3), (5, 3, 4)),
    ((6, 1, 2, 3), (5, 3, 4)),
    ((0, 3), (3, 2)),
    ((2, 0), (0, 2)),
]


@pytest.mark.parametrize(("a", "b"), MATMUL)
def test_matmul(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    x, y = make(a), make(b, seed=1)
    check_traced(p.matmul, x, y)
    check_traced(lambda x: p.matmul(x, y), x)
    check_traced(lambda y: p.matmul(x, y), y)
    check_vmap(p.matmul, x, y)
    check_derivative(p.matmul, x, y)


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtypes(dtype: str) -> None:
    a, b = make((2, 3), dtype), make((3, 4), dtype, 1)
    v, w = make((3,), dtype), make((3,), dtype, 1)
    check_traced(p.matmul, a, b)
    check_traced(p.dot, a, b)
    check_traced(p.dot, v, w)
    check_traced(p.inner, v, w)
    check_traced(p.outer, v, w)
    check_traced(p.vdot, a, a + a if dtype != "bool" else a)
    check_traced(lambda a, b: p.tensordot(a, b, 1), a, b)
    check_traced(p.kron, a, b)
    check_traced(p.trace, make((3, 4), dtype))
    check_traced(lambda a, b: einsum("ij,jk->ki", a, b), a, b)
    check_traced(lambda a: einsum("ij->i", a), a)
    if dtype != "bool":
        check_traced(p.cross, v, w)
    for name in ("vecdot", "matvec", "vecmat"):
        if hasattr(np, name):
            shapes = {"vecdot": ((2, 3), (3,)), "matvec": ((2, 3), (3,)), "vecmat": ((3,), (3, 2))}
            s, t = shapes[name]
            check_traced(getattr(p, name), make(s, dtype), make(t, dtype, 1))
    check_traced(p.matmul, make((2, 3), "float32"), make((3, 4), dtype))


def test_dot_and_kin() -> None:
    a, b = make((2, 3, 4)), make((5, 4, 6), seed=1)
    check_all(p.dot, a, b)
    check_all(p.dot, make((2, 3)), make((3,)))
    check_all(p.dot, make(()), make((3,)))
    check_all(p.inner, make((2, 4)), make((3, 5, 4)))
    check_all(p.inner, make(()), make((3,)))
    check_all(p.outer, make((2, 2)), make((3,)))
    check_all(p.vdot, make((2, 3)), make((3, 2)))
    check_derivative(p.vdot, make((3,), "complex128"), make((3,), "complex128", 1))
    check_all(p.kron, make((2, 3)), make((4,)))
    check_all(p.kron, make((2, 1, 3)), make((2, 2)))
    check_all(p.kron, make(()), make((2, 2)))


def test_tensordot() -> None:
    a, b = make((2, 3, 4)), make((4, 3, 5), seed=1)
    for axes in (1, [[1, 2], [1, 0]], ([-1], [0]), (2, 0)):
        check_all(lambda a, b, axes=axes: p.tensordot(a, b, axes), a, b)
    check_all(lambda a, b: p.tensordot(a, b, 0), make((2,)), make((3,)))
    check_traced(lambda a, b: p.tensordot(a, b), make((2, 3, 4)), make((3, 4, 5)))
    with pytest.raises(ValueError, match="shape-mismatch"):
        staged(lambda a, b: p.tensordot(a, b), a, b)


def test_vectors_and_stacks() -> None:
    check_all(p.vecdot, make((2, 1, 3)), make((4, 3)))
    check_traced(lambda a, b: p.vecdot(a, b, axis=0), make((3, 2), "complex128"), make((3, 1)))
    check_all(p.matvec, make((4, 2, 3)), make((3,)))
    check_all(p.vecmat, make((4, 2)), make((4, 2, 3)))
    check_traced(p.vecmat, make((4, 2), "complex128"), make((2, 3), "complex128"))


def test_cross() -> None:
    check_all(p.cross, make((2, 3)), make((3,)))
    check_traced(lambda a, b: p.cross(a, b, axis=0), make((3, 2)), make((3, 2), seed=1))
    check_traced(lambda a, b: p.cross(a, b, 0, 1, 0), make((3, 2)), make((2, 3), seed=1))
    with pytest.raises(ValueError, match="three dimensions"):
        staged(p.cross, make((2,)), make((2,)))


def test_trace() -> None:
    x = make((3, 4, 5))
    for offset in (-4, -1, 0, 2, 9):
        check_traced(lambda x, k=offset: p.trace(x, k), x)
        check_traced(lambda x, k=offset: p.trace(x, k, 2, 0), x)
    check_traced(lambda x: p.trace(x, dtype="float32"), make((3, 3), "int8"))
    check_all(lambda x: p.trace(x, 1, 1, 2), x)


def test_multi_dot() -> None:
    chain = [make((10, 2)), make((2, 7)), make((7, 3)), make((3, 4))]
    check_traced(lambda *xs: p.multi_dot(xs), *chain)
    check_traced(lambda *xs: p.multi_dot(xs), make((2,)), *chain[1:])
    check_traced(lambda *xs: p.multi_dot(xs), make((2,)), *chain[1:], make((4,)))
    check_derivative(lambda *xs: p.multi_dot(xs), *chain[:3])
    jaxpr = functrace.make_jaxpr(lambda *xs: p.multi_dot(xs))(
        make((100, 1)), make((1, 100)), make((100, 1))
    )
    shapes = [eqn.outvars[0].aval.shape for eqn in jaxpr.jaxpr.eqns]
    assert (100, 100) not in shapes
    with pytest.raises(ValueError, match="at least two"):
        staged(lambda x: p.multi_dot([x]), chain[0])
    with pytest.raises(np.linalg.LinAlgError):
        staged(lambda x: p.multi_dot([x, x, x]), make((2, 2, 2)))


EINSUMS = [
    ("ij,jk->ik", (2, 3), (3, 4)),
    ("ij,jk", (2, 3), (3, 4)),
    ("ij,kj->ki", (2, 3), (4, 3)),
    ("bij,bjk->bik", (5, 2, 3), (5, 3, 4)),
    ("...ij,...jk->...ik", (5, 2, 3), (3, 4)),
    ("...ij,...jk", (5, 2, 3), (1, 3, 4)),
    ("i,j->ij", (2,), (3,)),
    ("ij,ij->", (2, 3), (2, 3)),
    ("ij,j->ij", (2, 3), (3,)),
    ("ij->ji", (2, 3)),
    ("ij->", (2, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("iij->j", (3, 3, 2)),
    ("iii->i", (3, 3, 3)),
    ("ba", (2, 3)),
    ("a...->...", (2, 3, 4)),
    ("ij,jk,kl->il", (2, 3), (3, 4), (4, 5)),
    ("ij,jk,kl,lm->mi", (2, 3), (3, 4), (4, 5), (5, 2)),
    ("i,i,i->i", (3,), (3,), (3,)),
    ("ijk,jl,kl->il", (2, 3, 4), (3, 5), (4, 5)),
    ("ij,ik->i", (2, 3), (2, 4)),
    (",ij->ij", (), (2, 3)),
    ("ij,ij->ij", (1, 3), (2, 3)),
    ("ij,jk->ik", (2, 1), (3, 4)),
]


@pytest.mark.parametrize("case", EINSUMS, ids=lambda c: c[0])
def test_einsum(case: tuple) -> None:
    text, *shapes = case
    xs = [make(s, seed=i) for i, s in enumerate(shapes)]
    check_traced(lambda *xs: einsum(text, *xs), *xs)
    check_vmap(lambda *xs: einsum(text, *xs), *xs)
    check_derivative(lambda *xs: einsum(text, *xs), *xs)


def test_einsum_forms() -> None:
    a, b, c = make((2, 3)), make((3, 4)), make((4, 5))
    check_traced(lambda a, b: einsum(a, [0, 1], b, [1, 2], [2, 0]), a, b)
    check_traced(lambda a, b: einsum(a, [0, 1], b, [1, 2]), a, b)
    check_traced(lambda a: einsum(a, [Ellipsis, 1]), a)
    check_traced(lambda a, b: einsum("ij, jk -> ik", a, b, dtype="complex128"), a, b)
    path = einsum_path("ij,jk,kl->il", a, b, c, optimize="optimal")[0]
    for optimize in (True, False, "optimal", path):
        check_traced(
            lambda a, b, c, o=optimize: einsum("ij,jk,kl->il", a, b, c, optimize=o), a, b, c
        )
    seen = []
    staged(lambda a, b, c: seen.append(einsum_path("ij,jk,kl->il", a, b, c)[0]) or a, a, b, c)
    assert seen[0] == np.einsum_path("ij,jk,kl->il", a, b, c)[0]


def test_einsum_contracts_in_a_cheap_order() -> None:
    jaxpr = functrace.make_jaxpr(lambda a, b, c: einsum("ij,jk,k->i", a, b, c))(
        make((50, 60)), make((60, 70)), make((70,))
    )
    assert all(eqn.outvars[0].aval.ndim == 1 for eqn in jaxpr.jaxpr.eqns)


def test_errors() -> None:
    a, b = make((2, 3)), make((2, 3))
    with pytest.raises(ValueError, match="mismatch in its core dimension 0"):
        staged(p.matmul, a, b)
    with pytest.raises(ValueError, match="enough dimensions"):
        staged(p.matmul, a, make(()))
    with pytest.raises(ValueError, match="not aligned"):
        staged(p.dot, a, b)
    with pytest.raises(ValueError, match="not aligned"):
        staged(p.inner, a, make((2,)))
    with pytest.raises(ValueError, match="core dimension"):
        staged(p.vecdot, a, make((2,)))
    for text, match in [
        ("ij,jk->ik", "sizes"),
        ("ij->ij", "operands"),
        ("ijk,ij->i", "3 subscripts"),
        ("ij,ij->iq", "labels"),
        ("i1,ij->i", "letters"),
    ]:
        with pytest.raises(ValueError, match=match):
            staged(lambda a, b, t=text: einsum(t, a, b), a, b)


def test_keywords_of_jax() -> None:
    a, b = make((2, 3), "int8"), make((3, 4), "int8")
    wide = {"precision": "highest", "preferred_element_type": "int32"}
    for fun in (p.matmul, p.dot, lambda a, b, **k: p.tensordot(a, b, 1, **k)):
        assert fun(a, b, **wide).dtype == np.int32
        assert staged(lambda a, b, f=fun: f(a, b, **wide), a, b).dtype == np.int32
    assert p.inner(a[0], a[1], **wide).dtype == p.vdot(a[0], a[1], **wide).dtype == np.int32
    assert einsum("ij,jk->ik", a, b, **wide).dtype == np.int32
    np.testing.assert_array_equal(p.matmul(a, b, precision=None), a @ b)
