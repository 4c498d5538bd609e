"""Functions with derivative rules of their own: in every transformation, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.errors import (
    DTypeError,
    MissingRuleError,
    ShapeError,
    StructureError,
    UnexpectedTracerError,
)

X = np.linspace(0.1, 1.0, 4)


@pytest.fixture(autouse=True)
def checks() -> Any:
    with ft.config.override(checks=True):
        yield


def make_scaled() -> Any:
    """Return sin(x) y whose derivative in x is twice too large, so that a rule can be told."""

    @ft.custom_jvp
    def scaled(x: Any, y: Any) -> Any:
        return np.sin(x) * y

    @scaled.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        return scaled(x, y), 2.0 * np.cos(x) * y * tx + np.sin(x) * ty

    return scaled


def make_scaled_vjp() -> Any:
    @ft.custom_vjp
    def scaled(x: Any, y: Any) -> Any:
        return np.sin(x) * y

    def fwd(x: Any, y: Any) -> Any:
        return scaled(x, y), {"x": x, "rest": (y, None)}

    def bwd(kept: Any, ct: Any) -> Any:
        x, y = kept["x"], kept["rest"][0]
        return 2.0 * np.cos(x) * y * ct, fnp.sum(np.sin(x) * ct)

    scaled.defvjp(fwd, bwd)
    return scaled


both = pytest.mark.parametrize("make", [make_scaled, make_scaled_vjp])


def wraps(f: Any) -> list[Any]:
    """Return a function in the forms that must all agree."""
    return [f, ft.jit(f), lambda *a: ft.jit(ft.jit(f))(*a)]


@both
def test_gradients_follow_the_rule_in_every_order_of_jit(make: Any) -> None:
    scaled = make()

    def loss(x: Any, y: Any) -> Any:
        return np.sum(scaled(x, y))

    wanted = (2.0 * np.cos(X) * 3.0, np.sum(np.sin(X)))
    for form in wraps(loss):
        for grad in (ft.grad(form, argnums=(0, 1)), ft.jit(ft.grad(form, argnums=(0, 1)))):
            gx, gy = grad(X, 3.0)
            np.testing.assert_allclose(gx, wanted[0])
            np.testing.assert_allclose(gy, wanted[1])
    np.testing.assert_allclose(loss(X, 3.0), np.sum(np.sin(X) * 3.0))


@both
def test_second_derivatives_differentiate_the_rules(make: Any) -> None:
    scaled = make()
    for form in wraps(lambda x: scaled(x, 3.0)):
        second = ft.grad(ft.grad(form))(0.5)
        np.testing.assert_allclose(second, -2.0 * np.sin(0.5) * 3.0)


@both
@pytest.mark.parametrize("in_axes", [(0, 0), (0, None), (None, 0)])
def test_vmap_inside_and_outside_of_grad(make: Any, in_axes: Any) -> None:
    scaled = make()
    y = X + 1.0
    args = [a if d == 0 else a[0] for a, d in zip((X, y), in_axes)]
    lanes = [[a[i] if d == 0 else a for a, d in zip(args, in_axes)] for i in range(4)]
    wanted = np.array([ft.grad(scaled, argnums=(0, 1))(*lane) for lane in lanes])
    for form in wraps(scaled):
        got = ft.vmap(ft.grad(form, argnums=(0, 1)), in_axes=in_axes)(*args)
        np.testing.assert_allclose(np.stack(got, -1), wanted)

        def total(x: Any, y: Any, form: Any = form) -> Any:
            return np.sum(ft.vmap(form, in_axes=in_axes)(x, y))

        for grad in (ft.grad(total, (0, 1)), ft.jit(ft.grad(total, (0, 1)))):
            for g, column, d in zip(grad(*args), wanted.T, in_axes):
                np.testing.assert_allclose(g, column if d == 0 else column.sum())


def test_forward_mode_of_custom_jvp() -> None:
    scaled = make_scaled()
    for form in wraps(scaled):
        out, tangent = ft.jvp(form, (0.5, 3.0), (1.0, 1.0))
        np.testing.assert_allclose(out, np.sin(0.5) * 3.0)
        np.testing.assert_allclose(tangent, 6.0 * np.cos(0.5) + np.sin(0.5))
        hess = ft.hessian(lambda x, form=form: form(x, 3.0))(0.5)
        np.testing.assert_allclose(hess, -6.0 * np.sin(0.5))


def test_forward_mode_of_custom_vjp_is_refused_by_name() -> None:
    scaled = make_scaled_vjp()
    for form in wraps(scaled):
        with pytest.raises(MissingRuleError, match=r"custom_vjp .*scaled"):
            ft.jvp(form, (0.5, 3.0), (1.0, 1.0))
    _, linear = ft.linearize(scaled, 0.5, 3.0)
    with pytest.raises(MissingRuleError, match="backward only"):
        linear(1.0, 1.0)


def test_rule_runs_python_on_concrete_values() -> None:
    @ft.custom_jvp
    def relu(x: Any) -> Any:
        return x if x > 0 else 0.0 * x

    @relu.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        return relu(primals[0]), tangents[0] if primals[0] > 0 else 0.0 * tangents[0]

    assert [float(ft.grad(relu)(v)) for v in (-1.0, 2.0)] == [0.0, 1.0]
    assert ft.grad(ft.grad(relu))(2.0) == 0.0


def test_pytrees_integers_and_keywords() -> None:
    @ft.custom_jvp
    def pick(params: Any, i: Any, scale: float = 2.0) -> Any:
        return {"v": params["w"] * scale * i, "i": i}

    @pick.defjvp
    def rule(primals: Any, tangents: Any) -> Any:
        (params, i, scale), (t, ti, ts) = primals, tangents
        assert ti.dtype == ft.dtypes.float0
        return pick(params, i, scale), {"v": t["w"] * scale * i + params["w"] * i * ts, "i": ti}

    for form in wraps(lambda p, i: pick(p, i, scale=3.0)["v"]):
        assert ft.grad(form)({"w": 2.0}, np.int64(4))["w"] == 12.0


def test_defjvps() -> None:
    @ft.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y

    f.defjvps(lambda t, out, x, y: 5.0 * t * y, None)
    for form in wraps(f):
        assert ft.grad(form, argnums=(0, 1))(2.0, 3.0) == (15.0, 0.0)
        assert ft.jvp(form, (2.0, 3.0), (0.0, 1.0)) == (6.0, 0.0)


@pytest.mark.parametrize("kind", [ft.custom_jvp, ft.custom_vjp])
def test_nondiff_argnums_take_python_values(kind: Any) -> None:
    def power(n: Any, x: Any, fun: Any) -> Any:
        return fun(x) ** n

    f = kind(power, nondiff_argnums=(0, 2))
    if kind is ft.custom_jvp:
        f.defjvp(lambda n, fun, p, t: (f(n, p[0], fun), 10.0 * n * t[0]))
    else:
        f.defvjp(lambda n, x, fun: (f(n, x, fun), None), lambda n, fun, kept, ct: (10.0 * n * ct,))
    for form in wraps(lambda x: f(3, x, np.sin)):
        assert ft.grad(form)(2.0) == 30.0
    named = kind(power, nondiff_argnames=("n", "fun"))
    assert named.nondiff == (0, 2)


@pytest.mark.parametrize("kind", [ft.custom_jvp, ft.custom_vjp])
def test_nondiff_arguments_may_be_traced_elsewhere(kind: Any) -> None:
    f = kind(lambda s, x: s * x, nondiff_argnums=(0,))
    if kind is ft.custom_jvp:
        f.defjvp(lambda s, p, t: (f(s, *p), 5.0 * s * t[0]))
    else:
        f.defvjp(lambda s, x: (f(s, x), None), lambda s, kept, ct: (5.0 * s * ct,))
    assert ft.grad(ft.jit(lambda x, s: f(s, x)))(2.0, 3.0) == 15.0
    assert ft.jit(ft.grad(lambda x, s: f(s, x)))(2.0, 3.0) == 15.0
    np.testing.assert_allclose(ft.vmap(ft.grad(lambda x, s: f(s, x)))(X, X), 5.0 * X)
    np.testing.assert_allclose(ft.vmap(ft.grad(ft.jit(lambda x, s: f(s, x))))(X, X), 5.0 * X)


def test_nondiff_argument_that_moves_is_refused() -> None:
    f = ft.custom_jvp(lambda n, x: x, nondiff_argnums=(0,))
    f.defjvp(lambda n, p, t: (p[0], t[0]))
    with pytest.raises(TypeError, match=r"(?s)argument 0 of .*nondiff_argnums"):
        ft.grad(lambda x: f(x, x))(1.0)


def test_methods() -> None:
    class Model:
        scale = 3.0

        def apply(self, x: Any) -> Any:
            return self.scale * x

    apply = ft.custom_jvp(Model.apply, nondiff_argnums=(0,))
    apply.defjvp(lambda self, p, t: (self.apply(p[0]), 7.0 * t[0]))
    Model.wrapped = apply  # type: ignore[attr-defined]
    assert ft.grad(Model().wrapped)(1.0) == 7.0  # type: ignore[attr-defined]


# --- closures ----------------------------------------------------------------------------------


def over_jvp(x: Any, y: Any) -> Any:
    @ft.custom_jvp
    def inner(x: Any) -> Any:
        return x * y

    inner.defjvp(lambda p, t: (inner(*p), 2.0 * y * t[0]))
    return inner(x)


def over_vjp(x: Any, y: Any) -> Any:
    @ft.custom_vjp
    def inner(x: Any) -> Any:
        return x * y

    inner.defvjp(lambda x: (inner(x), None), lambda _, ct: (2.0 * y * ct,))
    return inner(x)


over = pytest.mark.parametrize("f", [over_jvp, over_vjp])


@over
def test_closures_over_values_of_transformations(f: Any) -> None:
    assert ft.grad(f)(2.0, 3.0) == 6.0
    assert ft.jit(ft.grad(f))(2.0, 3.0) == 6.0
    assert ft.grad(ft.jit(f))(2.0, 3.0) == 6.0
    np.testing.assert_allclose(ft.vmap(ft.grad(f))(X, X), 2.0 * X)
    np.testing.assert_allclose(ft.vmap(f)(X, X), X * X)
    total = ft.grad(lambda x, y: np.sum(ft.vmap(f)(x, y)))
    np.testing.assert_allclose(total(X, X), 2.0 * X)
    assert ft.grad(ft.grad(ft.jit(lambda x, y: f(x**2, y))))(2.0, 3.0) == 12.0


@over
def test_closures_over_what_is_differentiated_are_refused(f: Any) -> None:
    with pytest.raises(UnexpectedTracerError, match="closes over a value of its own level"):
        ft.grad(f, argnums=1)(2.0, 3.0)
    with pytest.raises(TypeError, match=r"inner .* closes over a value that depends"):
        ft.grad(ft.jit(f), argnums=1)(2.0, 3.0)


def test_residuals_and_closures_are_protected_from_changes() -> None:
    w = np.ones(3)
    f = ft.custom_jvp(lambda x: w * x)
    f.defjvp(lambda p, t: (f(*p), w * t[0]))
    g = ft.custom_vjp(lambda x: w * x)
    g.defvjp(lambda x: (g(x), w), lambda w, ct: (w * ct,))
    for h in (f, g):
        w[:] = 1.0
        _, pullback = ft.vjp(h, np.ones(3))
        w[:] = 100.0
        np.testing.assert_array_equal(pullback(np.ones(3))[0], np.ones(3))


# --- what rules return -------------------------------------------------------------------------


def with_rule(rule: Any) -> Any:
    f = ft.custom_jvp(lambda x: {"a": x})
    f.defjvp(rule)
    return lambda x: np.sum(f(x)["a"])


@pytest.mark.parametrize(
    ("rule", "error", "text"),
    [
        (lambda p, t: {"a": p[0]}, TypeError, "returns a pair"),
        (lambda p, t: ({"a": p[0]}, t[0]), StructureError, "has structure"),
        (lambda p, t: ({"a": p[0]}, {"a": t[0][:2]}), ShapeError, r"at \['a'\].*f64\[2\]"),
        (lambda p, t: ({"a": p[0]}, {"a": t[0].astype("f4")}), DTypeError, r"f32\[4\]"),
        (lambda p, t: ({"a": p[0]}, {"a": np.ones(4)}), ValueError, "linear in the tangents"),
    ],
)
def test_wrong_tangents_are_refused(rule: Any, error: Any, text: str) -> None:
    for form in wraps(with_rule(rule)):
        with pytest.raises(error, match=f"(?s)rule.*lambda.*{text}|{text}"):
            ft.grad(form)(X)


def with_rules(fwd: Any, bwd: Any) -> Any:
    f = ft.custom_vjp(lambda p: p["a"] * 1.0)
    f.defvjp(fwd, bwd)
    return lambda x: np.sum(f({"a": x, "b": 2.0}))


@pytest.mark.parametrize(
    ("fwd", "bwd", "error", "text"),
    [
        (lambda p: p["a"], None, TypeError, "returns a pair"),
        (lambda p: (p["a"], "text"), None, DTypeError, "residual 'text'"),
        (lambda p: (p["a"], 1.0), lambda r, ct: ct, StructureError, "in place of 1 cotangents"),
        (lambda p: (p["a"], 1.0), lambda r, ct: ((ct,),), StructureError, "doesn't fit"),
        (
            lambda p: (p["a"], 1.0),
            lambda r, ct: ({"a": ct[:1], "b": None},),
            ShapeError,
            r"argument 0\['a'\].*f64\[1\]",
        ),
    ],
)
def test_wrong_cotangents_are_refused(fwd: Any, bwd: Any, error: Any, text: str) -> None:
    for form in wraps(with_rules(fwd, bwd or (lambda r, ct: (None,)))):
        with pytest.raises(error, match=f"(?s){text}"):
            ft.grad(form)(X)


def test_none_is_a_zero_cotangent() -> None:
    f = ft.custom_vjp(lambda p, y: p["a"] * p["b"] * y)
    f.defvjp(lambda p, y: (f(p, y), p), lambda p, ct: ({"a": None, "b": p["a"] * ct}, None))
    for form in wraps(lambda p, y: f(p, y)):
        got = ft.grad(form, argnums=(0, 1))({"a": 2.0, "b": 3.0}, 4.0)
        assert got == ({"a": 0.0, "b": 2.0}, 0.0)


def test_symbolic_zeros() -> None:
    zero = ft.custom_derivatives.SymbolicZero
    seen: list[Any] = []

    @ft.custom_jvp
    def f(x: Any, y: Any) -> Any:
        return x * y, y

    def rule(primals: Any, tangents: Any) -> Any:
        (x, y), (tx, ty) = primals, tangents
        seen.append((type(tx) is zero, type(ty) is zero))
        if type(ty) is zero:
            return f(x, y), (tx * y, ty)
        return f(x, y), ((0.0 if type(tx) is zero else tx * y) + x * ty, ty)

    f.defjvp(rule, symbolic_zeros=True)

    g = ft.custom_vjp(lambda x, y: (x * y, y))

    def fwd(x: Any, y: Any) -> Any:
        seen.append((x.perturbed, y.perturbed))
        return g(x.value, y.value), (x.value, y.value)

    def bwd(kept: Any, cts: Any) -> Any:
        seen.append(tuple(type(ct) is zero for ct in cts))
        x, y = kept
        return cts[0] * y, cts[0] * x

    g.defvjp(fwd, bwd, symbolic_zeros=True)
    for function, wanted in ((f, [(False, True)]), (g, [(True, False), (False, True)])):
        for form in wraps(lambda x, y, function=function: function(x, y)[0]):
            seen.clear()
            assert ft.grad(form)(2.0, 3.0) == 3.0
            assert seen == wanted
            lanes = ft.vmap(ft.grad(form), in_axes=(0, None))(X, 3.0)
            np.testing.assert_array_equal(lanes, np.full(4, 3.0))
            total = ft.grad(lambda x, y, form=form: np.sum(ft.vmap(form)(x, y)))
            np.testing.assert_array_equal(total(X, X), X)


def test_functions_without_rules_say_so() -> None:
    with pytest.raises(AttributeError, match="has no rule"):
        ft.custom_jvp(np.sin)(1.0)
    with pytest.raises(AttributeError, match="has no rules"):
        ft.custom_vjp(np.sin)(1.0)


# --- custom_gradient and closure_convert -------------------------------------------------------


def test_custom_gradient() -> None:
    @ft.custom_gradient
    def f(x: Any, y: Any) -> Any:
        return x * y, lambda ct: (5.0 * y * ct, x * ct)

    for form in wraps(f):
        assert ft.grad(form, argnums=(0, 1))(2.0, 3.0) == (15.0, 2.0)
        assert ft.grad(ft.grad(form), argnums=1)(2.0, 3.0) == 5.0
        np.testing.assert_allclose(ft.vmap(ft.grad(form))(X, X), 5.0 * X)
    g = ft.custom_gradient(lambda x: (x**2, lambda ct: 7.0 * ct))
    assert ft.grad(g)(1.0) == 7.0


def test_closure_convert() -> None:
    def f(x: Any) -> Any:
        converted, values = ft.closure_convert(lambda y: {"r": x * y + np.ones(2)}, np.ones(2))
        assert len(values) == 1
        with pytest.raises(StructureError, match="converted for"):
            converted((np.ones(2),), *values)
        with pytest.raises(ShapeError, match="converted for"):
            converted(np.ones(3), *values)
        return np.sum(converted(2.0 * np.ones(2), *values)["r"])

    assert ft.grad(f)(3.0) == 4.0
    assert ft.jit(ft.grad(f))(3.0) == 4.0
    converted, values = ft.closure_convert(np.sin, 1.0)
    assert values == []
    np.testing.assert_allclose(converted(1.0), np.sin(1.0))


def test_custom_functions_inside_one_another() -> None:
    scaled, other = make_scaled(), make_scaled_vjp()

    def f(x: Any) -> Any:
        return scaled(other(x, 2.0), 3.0)

    inner = 2.0 * np.sin(0.5)
    wanted = 6.0 * np.cos(inner) * 4.0 * np.cos(0.5)
    for form in wraps(f):
        np.testing.assert_allclose(ft.grad(form)(0.5), wanted)
        np.testing.assert_allclose(ft.vmap(ft.grad(form))(np.full(2, 0.5)), wanted)


# --- in loops, and nested at random ------------------------------------------------------------


def tripled_jvp() -> Any:
    f = ft.custom_jvp(lambda x: np.sin(x))
    f.defjvp(lambda p, t: (f(*p), 3.0 * np.cos(p[0]) * t[0]))
    return f


def tripled_vjp() -> Any:
    f = ft.custom_vjp(lambda x: np.sin(x))
    f.defvjp(lambda x: (f(x), x), lambda x, ct: (3.0 * np.cos(x) * ct,))
    return f


@pytest.mark.parametrize("make", [tripled_jvp, tripled_vjp])
@pytest.mark.parametrize("kind", ["scan", "while", "fori", "cond"])
def test_rules_inside_control_flow(make: Any, kind: str) -> None:
    f = make()
    loops = {
        "scan": lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=3)[0],
        "while": lambda x: lax.while_loop(
            lambda s: s[1] < 3, lambda s: (f(s[0]), s[1] + 1), (x, 0)
        )[0],
        "fori": lambda x: lax.fori_loop(0, 3, lambda i, c: f(c), x),
        "cond": lambda x: lax.cond(x > 0.0, lambda x: f(f(f(x))), lambda x: x, x),
    }
    loop = loops[kind]
    first = ft.grad(lambda x: f(f(f(x))))
    for form in (loop, ft.jit(loop)):
        np.testing.assert_allclose(ft.grad(form)(0.5), first(0.5))
        np.testing.assert_allclose(ft.jit(ft.grad(form))(0.5), first(0.5))
        np.testing.assert_allclose(ft.grad(ft.grad(form))(0.5), ft.grad(first)(0.5))
        np.testing.assert_allclose(ft.vmap(ft.grad(form))(np.full(2, 0.5)), first(0.5))
        if make is tripled_jvp:
            np.testing.assert_allclose(ft.jvp(form, (0.5,), (1.0,))[1], first(0.5))


def own_jvp(f: Any) -> Any:
    """Return a function with its own derivative as the rule."""
    custom = ft.custom_jvp(f)
    custom.defjvp(lambda p, t: ft.jvp(f, p, t))
    return custom


def own_vjp(f: Any) -> Any:
    custom = ft.custom_vjp(f)
    custom.defvjp(lambda x: (f(x), x), lambda x, ct: ft.vjp(f, x)[1](ct))
    return custom


def own_gradient(f: Any) -> Any:
    return ft.custom_gradient(lambda x: (f(x), lambda ct: ft.vjp(f, x)[1](ct)))


def in_a_scan(f: Any) -> Any:
    return lambda x: lax.scan(lambda c, _: (f(c), None), x, None, length=1)[0]


WRAPPERS = {
    "jit": ft.jit,
    "checkpoint": ft.checkpoint,
    "checkpoint everything": lambda f: ft.checkpoint(
        f, policy=ft.checkpoint_policies.everything_saveable
    ),
    "custom_jvp": own_jvp,
    "custom_vjp": own_vjp,
    "custom_gradient": own_gradient,
    "vmap": lambda f: lambda x: np.sum(ft.vmap(f)(fnp.stack([x, x])), 0) / 2.0,
    "scan": in_a_scan,
    "cond": lambda f: lambda x: lax.cond(np.sum(x) > 1e9, lambda x: x, f, x),
}
PARTS = [np.sin, lambda x: x * np.exp(-x), lambda x: fnp.roll(x, 1) * x + 0.5]


@settings(max_examples=12, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 2), st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=3)),
        min_size=1,
        max_size=2,
    ),
    st.lists(st.sampled_from(sorted(WRAPPERS)), max_size=2),
)
def test_random_nestings_have_the_plain_derivatives(parts: Any, around: Any) -> None:
    def plain(x: Any) -> Any:
        for part, _ in parts:
            x = PARTS[part](x)
        return x

    def wrapped(x: Any) -> Any:
        for part, names in parts:
            f = PARTS[part]
            for name in names:
                f = WRAPPERS[name](f)
            x = f(x)
        return x

    for name in around:
        wrapped = WRAPPERS[name](wrapped)

    def total(f: Any) -> Any:
        return lambda x: np.sum(np.cos(f(x)))

    with ft.config.override(checks=False):  # programs of earlier examples are used again
        check_same_derivatives(total(plain), total(wrapped))


def check_same_derivatives(plain: Any, wrapped: Any) -> None:
    wanted = ft.grad(plain)(X)
    for grad in (ft.grad(wrapped), ft.jit(ft.grad(wrapped))):
        np.testing.assert_allclose(grad(X), wanted, rtol=1e-9, atol=1e-12)
    lanes = ft.vmap(ft.grad(wrapped))(np.stack([X, X]))
    np.testing.assert_allclose(lanes, [wanted, wanted], rtol=1e-9, atol=1e-12)
    twice = ft.jacrev(ft.grad(plain))(X)
    got = ft.jacrev(ft.grad(wrapped))(X)
    np.testing.assert_allclose(got, twice, rtol=1e-8, atol=1e-10)


# --- a rule is not kept longer than what it sees -----------------------------------------------

ALPHA = 1.0


def test_loops_notice_what_wrapped_functions_see(monkeypatch: pytest.MonkeyPatch) -> None:
    custom = ft.custom_jvp(lambda x: ALPHA * x)
    custom.defjvp(lambda p, t: (custom(*p), 10.0 * ALPHA * t[0]))
    wrapped = [ft.checkpoint(lambda x: ALPHA * x), ft.vmap(lambda x: ALPHA * x), custom]
    ones = np.ones(1)

    def make(f: Any) -> Any:
        body = lambda c, v: (f(c), None)  # noqa: E731 - one body for all calls
        return lambda x: lax.scan(body, x, None, length=2)[0]

    loops = [make(f) for f in wrapped]
    for alpha in (1.0, 2.0, 1.0):
        monkeypatch.setitem(globals(), "ALPHA", alpha)
        assert [loop(ones)[0] for loop in loops] == [alpha**2] * 3
        assert ft.grad(lambda x: np.sum(loops[2](x)))(ones) == 100.0 * alpha**2
    custom.defjvp(lambda p, t: (custom(*p), 3.0 * t[0]))
    assert ft.grad(lambda x: np.sum(loops[2](x)))(ones) == 9.0
