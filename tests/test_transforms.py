"""Transforms compose in any order and depth, and perturbations can't be confused."""

from __future__ import annotations

import collections
import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.test_util import check_grads

X = np.array([0.3, -0.7, 1.1])


def f(x: Any) -> Any:
    return np.sum(np.sin(x) * x**2)


def df(x: Any) -> Any:
    return np.cos(x) * x**2 + 2 * x * np.sin(x)


def ddf(x: Any) -> Any:
    return -np.sin(x) * x**2 + 4 * x * np.cos(x) + 2 * np.sin(x)


GRADS = {
    "grad": ft.grad(f),
    "jit grad": ft.jit(ft.grad(f)),
    "grad jit": ft.grad(ft.jit(f)),
    "jit grad jit": ft.jit(ft.grad(ft.jit(f))),
    "jacrev": ft.jacrev(f),
    "jacfwd": ft.jacfwd(f),
    "jit jacfwd": ft.jit(ft.jacfwd(f)),
    "vjp": lambda x: ft.vjp(f, x)[1](1.0)[0],
    "linearize": lambda x: np.array([ft.linearize(f, x)[1](e) for e in np.eye(3)]),
    "jvp": lambda x: np.array([ft.jvp(f, (x,), (e,))[1] for e in np.eye(3)]),
    "vmap jvp": lambda x: ft.vmap(lambda e: ft.jvp(f, (x,), (e,))[1])(np.eye(3)),
    "vmap jvp jit": lambda x: ft.vmap(lambda e: ft.jvp(ft.jit(f), (x,), (e,))[1])(np.eye(3)),
}


@pytest.mark.parametrize("name", GRADS)
def test_first_derivative(name: str) -> None:
    assert_allclose(GRADS[name](X), df(X), rtol=1e-12)


HESSIANS = {
    "hessian": ft.hessian(f),
    "jit hessian": ft.jit(ft.hessian(f)),
    "jacrev jacrev": ft.jacrev(ft.jacrev(f)),
    "jacrev jacfwd": ft.jacrev(ft.jacfwd(f)),
    "jacfwd jacfwd": ft.jacfwd(ft.jacfwd(f)),
    "jacfwd jit grad": ft.jacfwd(ft.jit(ft.grad(f))),
    "jacrev jit grad jit": ft.jacrev(ft.jit(ft.grad(ft.jit(f)))),
    "vmap hvp": lambda x: ft.vmap(lambda v: ft.jvp(ft.grad(f), (x,), (v,))[1])(np.eye(3)),
    "grad of vdot": lambda x: ft.vmap(ft.grad(lambda y, v: np.vdot(ft.grad(f)(y), v)), (None, 0))(
        x, np.eye(3)
    ),
}


@pytest.mark.parametrize("name", HESSIANS)
def test_second_derivative(name: str) -> None:
    assert_allclose(HESSIANS[name](X), np.diag(ddf(X)), rtol=1e-11, atol=1e-13)


def test_deep_towers_of_grad() -> None:
    g: Any = np.sin
    expected = itertools.cycle([np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x), np.sin])
    for reference in itertools.islice(expected, 6):
        g = ft.grad(g)
        assert_allclose(g(0.4), reference(0.4), rtol=1e-10)
        assert_allclose(ft.jit(g)(0.4), reference(0.4), rtol=1e-10)


TRANSFORMS = {
    "grad": lambda g: lambda x: ft.grad(lambda y: np.sum(g(y)))(x),
    "jvp": lambda g: lambda x: ft.jvp(g, (x,), (np.ones_like(x),))[1],
    "jit": ft.jit,
    "vmap": lambda g: lambda x: ft.vmap(g)(fnp.stack([x, x]))[1],
    "linearize": lambda g: lambda x: ft.linearize(g, x)[1](x * 0.0 + 1.0),
}


@pytest.mark.parametrize("stack", list(itertools.product(TRANSFORMS, repeat=3)), ids="-".join)
def test_stacks_of_three(stack: tuple[str, ...]) -> None:
    """Element-wise functions: each derivative transform gives the next derivative."""
    g: Any = np.sin
    for name in stack:
        g = TRANSFORMS[name](g)
    order = sum(name in ("grad", "jvp", "linearize") for name in stack)
    expected = [np.sin, np.cos, lambda x: -np.sin(x), lambda x: -np.cos(x)][order]
    assert_allclose(g(X), expected(X), rtol=1e-10)


def test_perturbation_confusion() -> None:
    """Siskind & Pearlmutter 2005: d/dx (x * d/dy (x + y)) = 1, not 2."""

    def inner(x: Any) -> Any:
        return x * ft.grad(lambda y: x + y)(1.0)

    assert ft.grad(inner)(1.0) == 1.0
    assert ft.jvp(inner, (1.0,), (1.0,))[1] == 1.0
    assert ft.jit(ft.grad(inner))(1.0) == 1.0
    assert ft.grad(lambda x: x * ft.jvp(lambda y: x * y, (2.0,), (1.0,))[1])(3.0) == 6.0


def test_closures_over_outer_tracers() -> None:
    def outer(w: Any) -> Any:
        inner = ft.jit(lambda x: np.sum(w * x))
        return ft.grad(inner)(X) @ X + ft.vmap(lambda x: w[0] * x)(X).sum()

    expected = X + np.array([X.sum(), 0, 0])
    assert_allclose(ft.grad(outer)(np.ones(3)), expected)
    assert_allclose(ft.jit(ft.grad(outer))(np.ones(3)), expected)
    assert_allclose(ft.vmap(ft.grad(outer))(np.ones((2, 3))), np.stack([expected] * 2))


def test_only_what_is_asked_for_is_computed() -> None:
    text = str(ft.make_jaxpr(ft.grad(lambda a, b: np.sum(a * b), argnums=1))(X, X))
    assert text.count("mul") == 2  # the primal product, and a * ct: nothing for a's gradient
    assert "0.0" not in text


# --- trees -------------------------------------------------------------------------------------

Point = collections.namedtuple("Point", ["x", "y"])


@ft.tree.register_dataclass
@dataclasses.dataclass
class Layer:
    w: Any
    b: Any
    name: str = dataclasses.field(default="layer", metadata={"static": True})


@ft.tree_util.register_pytree_node_class
class Pair:
    def __init__(self, a: Any, b: Any) -> None:
        self.a, self.b = a, b

    def tree_flatten(self) -> Any:
        return (self.a, self.b), None

    @classmethod
    def tree_unflatten(cls, aux: Any, children: Any) -> Pair:
        return cls(*children)


TREES = [
    {"b": 2.0, "a": [1.0, None, (3.0,)]},
    Point(1.0, np.ones(2)),
    Layer(np.ones((2, 2)), np.zeros(2), "first"),
    collections.OrderedDict(z=1.0, a=2.0),
    [np.float32(1.0), (2.0, {"k": np.ones(3)})],
]


def square_sum(tree: Any) -> Any:
    return sum(np.sum(leaf * leaf) for leaf in ft.tree.leaves(tree))


@pytest.mark.parametrize("value", TREES, ids=lambda t: type(t).__name__)
@pytest.mark.parametrize("transform", [lambda g: g, ft.jit], ids=["eager", "jit"])
def test_trees_go_through(value: Any, transform: Any) -> None:
    g = transform(ft.grad(square_sum))(value)
    assert ft.tree.structure(g) == ft.tree.structure(value)
    for a, b in zip(ft.tree.leaves(g), ft.tree.leaves(value)):
        assert_allclose(a, 2 * np.asarray(b))
    doubled = transform(lambda t: ft.tree.map(lambda v: v * 2, t))(value)
    assert ft.tree.structure(doubled) == ft.tree.structure(value)
    _, pullback = ft.vjp(lambda t: ft.tree.map(lambda v: v * 3, t), value)
    (back,) = pullback(ft.tree.map(np.ones_like, value))
    for leaf in ft.tree.leaves(back):
        assert_array_equal(leaf, np.full_like(leaf, 3))


def test_custom_nodes() -> None:
    g = ft.jit(ft.grad(lambda p: p.a * p.b))(Pair(2.0, 3.0))
    assert isinstance(g, Pair) and (g.a, g.b) == (3.0, 2.0)


# --- vmap --------------------------------------------------------------------------------------


def test_vmap_axes() -> None:
    a = np.arange(6.0).reshape(2, 3)
    assert_array_equal(ft.vmap(lambda x: x * 2, in_axes=1, out_axes=1)(a), a * 2)
    assert_array_equal(ft.vmap(lambda x: x * 2, in_axes=-1)(a), a.T * 2)
    out = ft.vmap(
        lambda d, k: {"s": d["x"] + k, "k": k},
        in_axes=({"x": 0, "y": None}, None),
        out_axes={"s": 0, "k": None},
    )({"x": a, "y": 1.0}, 5.0)
    assert_array_equal(out["s"], a + 5)
    assert out["k"] == 5.0
    assert_array_equal(ft.vmap(lambda: fnp.ones(2), axis_size=3)(), np.ones((3, 2)))
    assert_array_equal(ft.vmap(lambda x, k=None: x + k)(X, k=X), X + X)
    assert_array_equal(
        ft.vmap(ft.vmap(lambda x, y: x * y, (None, 0)), (0, None))(X, X), np.outer(X, X)
    )


def test_vmap_errors() -> None:
    text = "has size 2 on its mapped axis 0, but argument 0"
    with pytest.raises(ft.errors.ShapeError, match=text):
        ft.vmap(lambda x, y: x)(np.ones(3), np.ones(2))
    with pytest.raises(ft.errors.ShapeError, match="no argument is mapped"):
        ft.vmap(lambda x: x, in_axes=None)(X)
    with pytest.raises(ft.errors.ShapeError, match="which it doesn't have"):
        ft.vmap(lambda x: x, in_axes=1)(X)
    with pytest.raises(ft.errors.ShapeError, match="has 1 entries"):
        ft.vmap(lambda x, y: x, in_axes=(0,))(X, X)
    with pytest.raises(ft.errors.ShapeError, match="differs between the lanes"):
        ft.vmap(lambda x: x, out_axes=None)(X)


# --- jit ---------------------------------------------------------------------------------------


def test_jit_traces_once_per_signature() -> None:
    traced = []

    @ft.jit
    def g(x: Any) -> Any:
        traced.append(x)
        return x + 1

    g(1.0), g(2.0), g(np.ones(2)), g(np.zeros(2)), g(np.ones(2, np.float32)), g(3.0)
    assert len(traced) == 3
    g.clear_cache()
    g(1.0)
    assert len(traced) == 4


def test_jit_static_arguments() -> None:
    @ft.jit(static_argnums=1, static_argnames="mode")
    def g(x: Any, n: int, mode: str = "add") -> Any:
        for _ in range(n):
            x = x + x if mode == "add" else x * x
        return x

    assert g(1.0, 3) == 8.0 and g(1.0, n=2) == 4.0 and g(3.0, 1, mode="mul") == 9.0
    assert g(2.0, 3) == 16.0
    with pytest.raises(ft.errors.StaticArgumentError, match="static argument 1 is"):
        g(1.0, [3])


def test_jit_methods_keywords_and_decorators() -> None:
    @ft.tree.register_dataclass
    @dataclasses.dataclass
    class Model:
        scale: Any

        @ft.jit
        def __call__(self, x: Any, *, shift: Any = 0.0) -> Any:
            return self.scale * x + shift

    model = Model(2.0)
    assert model(3.0) == 6.0 and model(3.0, shift=1.0) == 7.0 and model(4.0, shift=1.0) == 9.0
    assert Model(5.0)(3.0) == 15.0

    @ft.jit(inline=True)
    def add_one(x: Any) -> Any:
        """Docs stay."""
        return x + 1.0

    assert add_one.__doc__ == "Docs stay." and add_one(1.0) == 2.0
    assert "jit" not in str(ft.make_jaxpr(lambda x: add_one(x))(1.0))
    assert "jit" in str(ft.make_jaxpr(lambda x: ft.jit(f)(x))(X))


def test_jit_donation() -> None:
    step = ft.jit(lambda p, g: p - 0.1 * g, donate_argnums=0)
    p, g = np.ones(4), np.ones(4)
    out = step(p, g)
    assert out is p
    assert_allclose(p, 0.9)
    p2 = step(out, g)
    assert p2 is p
    assert_allclose(p2, 0.8)


def test_donation_takes_the_named_argument_whatever_the_order() -> None:
    for names in (("a", "b"), ("b", "a")):
        step = ft.jit(lambda x, *, b, a: (b + x, a.sum()), donate_argnames="b")
        given = {name: np.full(3, float(i)) for i, name in enumerate("ab")}
        for _ in range(2):  # the general path, then the fast one
            out, _ = step(np.ones(3), **{name: given[name] for name in names})
            assert out is given["b"]
        assert_array_equal(given["a"], np.zeros(3))
        assert_array_equal(given["b"], np.full(3, 3.0))


def test_jit_stages() -> None:
    lowered = ft.jit(f).lower(X)
    for stage in ("jaxpr", "simplified", "fusion", "plan", "kernels", "numba", "llvm"):
        assert lowered.as_text(stage).strip(), stage
    compiled = lowered.compile()
    assert_allclose(compiled(X), f(X))
    assert compiled.memory_analysis() and compiled.cost_analysis()
    with pytest.raises(ft.errors.StructureError, match="was compiled for"):
        compiled(np.ones(4))
    traced = ft.jit(f).trace(ft.ShapeDtypeStruct((3,), "float64"))
    assert traced.out_info == ft.ShapeDtypeStruct((), "float64")
    assert "sin" in str(traced.jaxpr)


def test_disable_jit() -> None:
    with ft.disable_jit():
        assert ft.jit(lambda x: x if x > 0 else -x)(-2.0) == 2.0
    with pytest.raises(ft.errors.TracerBoolConversionError):
        ft.jit(lambda x: x if x > 0 else -x)(-2.0)


def test_captured_arrays() -> None:
    weights = np.ones(3)
    g = ft.jit(lambda x: np.sum(weights * x))
    assert g(X) == X.sum()
    weights[0] = 5.0
    with pytest.raises(ft.errors.CapturedArrayChangedError, match="'weights'"):
        g(X)
    g.clear_cache()
    assert_allclose(g(X), np.sum(weights * X))
    big = np.zeros(100_000)
    h = ft.jit(lambda x: x + big[3])
    h(1.0)
    big[:] = 2.0
    k = ft.jit(lambda x: x * big)
    k(1.0)
    big[:] = 3.0
    with pytest.raises(ft.errors.CapturedArrayChangedError, match="'big'"):
        k(1.0)


def test_donating_and_out_of_bounds_raise_from_compiled_code() -> None:
    g = ft.jit(lambda x, i: x[i])
    assert g(X, 1) == X[1] and g(X, -1) == X[-1]
    with pytest.raises(IndexError, match="out of bounds"):
        g(X, 7)


def test_jit_in_threads() -> None:
    import concurrent.futures

    g = ft.jit(ft.grad(f))
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda i: g(X * i), range(40)))
        traced = list(pool.map(lambda i: ft.grad(ft.jit(lambda x: f(x) * i))(X), range(20)))
    for i, r in enumerate(results):
        assert_allclose(r, df(X * i))
    for i, r in enumerate(traced):
        assert_allclose(r, df(X) * i)


# --- shapes, jaxprs ----------------------------------------------------------------------------


def test_eval_shape_and_make_jaxpr() -> None:
    given = {"x": ft.ShapeDtypeStruct((2, 3), "f4")}
    out = ft.eval_shape(lambda d: {"y": d["x"] @ d["x"].T}, given)
    assert out == {"y": ft.ShapeDtypeStruct((2, 2), "float32")}
    closed, shapes = ft.make_jaxpr(f, return_shape=True)(X)
    assert shapes == ft.ShapeDtypeStruct((), "float64")
    assert closed.eqns[0].source is not None and closed.eqns[0].source.file == __file__
    assert ft.core.eval_jaxpr(closed.jaxpr, closed.consts, X) == [f(X)]
    closed = ft.make_jaxpr(lambda x, n: x * n, static_argnums=1)(1.0, 3)
    assert len(closed.in_avals) == 1


def test_linear_transpose() -> None:
    a = np.arange(6.0).reshape(2, 3)
    (ct,) = ft.linear_transpose(lambda x: a @ x, np.ones(3))(np.array([1.0, 2.0]))
    assert_allclose(ct, a.T @ [1.0, 2.0])
    with pytest.raises(ft.errors.MissingRuleError):
        ft.linear_transpose(np.sin, 1.0)(1.0)


def test_named_call_and_stop_gradient() -> None:
    g = ft.named_call(f, name="energy")
    assert "name=energy" in str(ft.make_jaxpr(g)(X))
    assert_allclose(ft.grad(g)(X), df(X))
    assert ft.grad(lambda x: x * lax.stop_gradient(x))(3.0) == 3.0
    assert ft.jit(ft.grad(lambda x: x * lax.stop_gradient(x)))(3.0) == 3.0
    assert ft.jvp(lambda t: lax.stop_gradient(t), ({"a": 1.0},), ({"a": 1.0},))[1] == {"a": 0.0}


def test_check_grads() -> None:
    check_grads(lambda x, y: {"a": np.tanh(x) * y, "b": x @ y}, (X, X[::-1].copy()), order=2)
