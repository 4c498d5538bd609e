"""checkpoint: the derivatives are the plain ones, and what is kept is what the policy says."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import checkpoint_policies as policies
from functrace import lax
from functrace.ad_checkpoint import checkpoint_name, print_saved_residuals, saved_residuals

RNG = np.random.default_rng(0)
W, X = RNG.normal(size=(4, 4)), RNG.normal(size=4)

POLICIES = [
    None,
    policies.everything_saveable,
    policies.nothing_saveable,
    policies.dots_saveable,
    policies.dots_with_no_batch_dims_saveable,
    policies.save_only_these_names("hidden"),
    policies.save_any_names_but_these("hidden"),
    policies.save_anything_except_these_names("hidden"),
    policies.save_from_both_policies(
        policies.dots_saveable, policies.save_only_these_names("hidden")
    ),
]
every_policy = pytest.mark.parametrize(
    "policy", POLICIES, ids=lambda p: "none" if p is None else p.__name__
)


def block(w: Any, x: Any) -> Any:
    hidden = checkpoint_name(np.tanh(w @ x), "hidden")
    return np.sin(np.exp(hidden))


def network(block: Any) -> Any:
    return lambda w, x: np.sum(block(w, block(w, x)))


@every_policy
def test_derivatives_are_the_plain_ones(policy: Any) -> None:
    plain, f = network(block), network(ft.checkpoint(block, policy=policy))
    with ft.config.override(checks=True):
        wanted = ft.grad(plain, (0, 1))(W, X)
        for form in (f, ft.jit(f)):
            for grad in (ft.grad(form, (0, 1)), ft.jit(ft.grad(form, (0, 1)))):
                for got, value in zip(grad(W, X), wanted):
                    np.testing.assert_allclose(got, value, rtol=1e-12)
            lanes = ft.vmap(ft.grad(form, 1), in_axes=(None, 0))(W, np.stack([X, X]))
            np.testing.assert_allclose(lanes, [wanted[1]] * 2, rtol=1e-12)
        np.testing.assert_allclose(f(W, X), plain(W, X))
        hessian = ft.hessian(plain, 1)(W, X)
        np.testing.assert_allclose(ft.hessian(f, 1)(W, X), hessian, rtol=1e-10)
        np.testing.assert_allclose(ft.jacrev(ft.grad(f, 1), 1)(W, X), hessian, rtol=1e-10)
        out, tangent = ft.jvp(f, (W, X), (W, X))
        np.testing.assert_allclose((out, tangent), ft.jvp(plain, (W, X), (W, X)), rtol=1e-12)


def kept(policy: Any) -> list[str]:
    found = saved_residuals(ft.checkpoint(block, policy=policy), W, X)
    return sorted(text.split(" from ")[0] for _, text in found if "argument" not in text)


def test_policies_decide_what_is_kept() -> None:
    assert kept(None) == kept(policies.nothing_saveable) == []
    assert kept(policies.dots_saveable) == ["output of dot_general"]
    assert kept(policies.dots_with_no_batch_dims_saveable) == ["output of dot_general"]
    assert kept(policies.save_only_these_names("hidden")) == ["named 'hidden'"]
    assert kept(policies.save_only_these_names("other")) == []
    assert kept(policies.save_any_names_but_these("other")) == ["named 'hidden'"]
    assert kept(policies.save_any_names_but_these("hidden")) == []
    assert "output of exp" in kept(policies.everything_saveable)
    assert "named 'hidden'" not in kept(policies.save_anything_except_these_names("hidden"))
    # Of what both keep the tangent takes tanh's value, which its derivative is a function of.
    assert kept(POLICIES[-1]) == ["named 'hidden'"]


# --- loops -------------------------------------------------------------------------------------

XS = RNG.normal(size=(6, 4)) * 0.3


def recurrent(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        hidden = checkpoint_name(np.tanh(w @ h + x), "hidden")
        return ft.jit(lambda h: np.sin(checkpoint_name(h, "inside")) * 1.5)(hidden), np.sum(h)

    h, ys = lax.scan(step, xs[0], xs)
    return np.sum(h) + np.sum(ys**2)


def in_reverse(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        return np.exp(checkpoint_name(w @ h, "hidden") * 0.1) * x, h[:2]

    h, ys = lax.scan(step, xs[0], xs, reverse=True)
    return np.sum(h) + np.sum(ys**2)


def loops_in_loops(w: Any, xs: Any) -> Any:
    def inner(i: Any, h: Any) -> Any:
        return checkpoint_name(np.sin(w @ h), "hidden") + fnp.take(xs, i, axis=0)

    def step(h: Any, x: Any) -> Any:
        return np.tanh(lax.fori_loop(0, 3, inner, h) * x), np.sum(w @ h)

    h, ys = lax.scan(step, xs[0], xs)
    return np.sum(h) + np.sum(np.exp(ys * 0.1))


def branching(w: Any, xs: Any) -> Any:
    def step(h: Any, x: Any) -> Any:
        h = checkpoint_name(w @ h, "hidden")
        return lax.cond(np.sum(h) > 0, np.sin, lambda h: h * x, h), None

    return np.sum(lax.scan(step, xs[0], xs)[0])


def choosing(w: Any, xs: Any) -> Any:
    def product(h: Any) -> Any:
        return np.sin(checkpoint_name(w @ h, "hidden"))

    def loop(h: Any) -> Any:
        return lax.fori_loop(0, 3, lambda i, h: np.tanh(checkpoint_name(w @ h, "inside")), h)

    def nested(h: Any) -> Any:
        again = lax.cond(h[0] > 0, product, lambda h: h * h, np.sin(w @ h))
        return again * checkpoint_name(np.exp(h * 0.1), "hidden")

    def step(h: Any, x: Any) -> Any:
        index = fnp.asarray(fnp.abs(h[1]) * 10, np.int64) % 3
        return lax.switch(index, [product, loop, nested], h) + x, np.sum(h)

    h, ys = lax.scan(step, xs[0], xs)
    return np.sum(lax.cond(np.sum(h) > 100, nested, product, h)) + np.sum(ys**2)


LOOPS = [recurrent, in_reverse, loops_in_loops, branching, choosing]
every_loop = pytest.mark.parametrize("fun", LOOPS, ids=lambda f: f.__name__)


@every_loop
@every_policy
def test_derivatives_of_loops_are_the_plain_ones(fun: Any, policy: Any) -> None:
    kept_fun = ft.checkpoint(fun, policy=policy)
    with ft.config.override(checks=True):
        with ft.disable_jit():
            wanted = ft.grad(fun, (0, 1))(W, XS)
        for grad in (ft.grad(kept_fun, (0, 1)), ft.jit(ft.grad(kept_fun, (0, 1)))):
            for got, value in zip(grad(W, XS), wanted):
                np.testing.assert_allclose(got, value, rtol=1e-10, atol=1e-12)
        out, tangent = ft.jvp(kept_fun, (W, XS), (W, XS))
        np.testing.assert_allclose(out, fun(W, XS), rtol=1e-12)
        rate = sum(np.sum(g * v) for g, v in zip(wanted, (W, XS)))
        np.testing.assert_allclose(tangent, rate, rtol=1e-10)
        twice = ft.jvp(ft.grad(fun), (W, XS), (W, XS))[1]
        np.testing.assert_allclose(ft.jvp(ft.grad(kept_fun), (W, XS), (W, XS))[1], twice, rtol=1e-9)
        lanes = ft.vmap(ft.grad(kept_fun), in_axes=(None, 0))(W, np.stack([XS, XS]))
        np.testing.assert_allclose(lanes, [wanted[0]] * 2, rtol=1e-10, atol=1e-12)


def stacks(fun: Any, policy: Any) -> list[str]:
    found = saved_residuals(ft.checkpoint(fun, policy=policy), W, XS)
    texts = [f"{aval} {text.split(' from ')[0]}" for aval, text in found]
    return sorted(text for text in texts if "argument" not in text)


def test_policies_decide_what_loops_keep_of_each_step() -> None:
    assert stacks(recurrent, None) == stacks(recurrent, policies.nothing_saveable) == []
    assert stacks(recurrent, policies.dots_saveable) == ["f64[6,4] output of dot_general"]
    names = policies.save_only_these_names("hidden")
    assert stacks(recurrent, names) == ["f64[6,4] named 'hidden'"]
    assert stacks(recurrent, policies.save_only_these_names("inside")) == [
        "f64[6,4] named 'inside'"
    ]
    assert stacks(recurrent, policies.save_only_these_names("other")) == []
    assert "f64[6,4] carry of scan" in stacks(recurrent, policies.everything_saveable)
    assert stacks(in_reverse, names) == ["f64[6,4] named 'hidden'"]
    assert stacks(loops_in_loops, names) == ["f64[6,3,4] named 'hidden'"]
    assert stacks(loops_in_loops, policies.dots_saveable) == [
        "f64[6,3,4] output of dot_general",
        "f64[6,4] output of dot_general",
    ]


def test_policies_decide_what_branches_keep() -> None:
    def either(w: Any, xs: Any) -> Any:
        def first(h: Any) -> Any:
            return np.sin(checkpoint_name(w @ h, "hidden"))

        def second(h: Any) -> Any:
            return np.exp(checkpoint_name(w.T @ h, "hidden") * 0.1)

        return np.sum(lax.cond(xs[0, 0] > 0, first, second, xs[0]))

    names, inside = (policies.save_only_these_names(name) for name in ("hidden", "inside"))
    # One of them runs: what they keep shares a place.
    assert stacks(either, names) == ["f64[4] named 'hidden'"]
    assert stacks(either, policies.dots_saveable) == ["f64[4] output of dot_general"]
    assert stacks(either, policies.nothing_saveable) == []
    assert (
        stacks(choosing, names) == ["f64[4] named 'hidden'"] * 2 + ["f64[6,4] named 'hidden'"] * 2
    )
    assert stacks(choosing, inside) == ["f64[6,3,4] named 'inside'"]


def test_a_product_that_is_kept_is_not_computed_again() -> None:
    def products(policy: Any) -> int:
        f = ft.checkpoint(recurrent, policy=policy)
        text = str(ft.make_jaxpr(ft.grad(f, (0, 1)))(W, XS))
        return text.count("dot_general[")

    # One forward and two backward; one more where it is computed again.
    assert products(policies.dots_saveable) == products(policies.everything_saveable) == 3
    assert products(policies.save_only_these_names("hidden")) == 3
    assert products(None) == products(policies.save_only_these_names("other")) == 4


def test_saved_residuals_name_lines_and_arguments(capsys: pytest.CaptureFixture[str]) -> None:
    print_saved_residuals(lambda p, x: p["w"] * np.exp(x), {"w": 2.0}, 1.0)
    lines = capsys.readouterr().out.splitlines()
    assert "f64[] from the argument p['w']" in lines
    assert any("output of exp" in t and "test_checkpoint.py" in t for t in lines)


def chain(block: Any) -> Any:
    def f(x: Any) -> Any:
        for _ in range(8):
            x = block(x)
        return np.sum(x)

    return f


def deep(x: Any) -> Any:
    for _ in range(4):
        x = np.sin(fnp.roll(x, 1)) * np.cos(fnp.cumsum(x))
    return x


def test_compiled_recomputation_survives_the_simplifier() -> None:
    x = np.linspace(0.0, 1.0, 2000)

    def temporaries(block: Any) -> Any:
        program = ft.jit(ft.grad(chain(block))).lower(x).compile()
        return program.memory_analysis()["temp_size_in_bytes"] / x.nbytes

    plain = temporaries(deep)
    assert temporaries(ft.checkpoint(deep)) < plain / 4
    assert temporaries(ft.checkpoint(deep, prevent_cse=False)) > plain / 2


def test_eager_gradient_keeps_less() -> None:
    x = np.linspace(0.0, 1.0, 20_000)

    def peak(block: Any) -> int:
        grad = ft.grad(chain(block))
        grad(x)
        tracemalloc.start()
        grad(x)
        found = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return found

    assert peak(ft.checkpoint(deep)) < peak(deep) / 3


def test_recomputation_is_not_fused_with_the_forward_pass() -> None:
    f = ft.checkpoint(lambda x: np.sin(np.exp(x)) * 2.0)

    def both(x: Any) -> Any:
        out, pullback = ft.vjp(f, x)
        return out, pullback(out)[0]

    lowered = ft.jit(both).lower(np.ones(5))
    assert "optimization_barrier" in lowered.as_text("simplified")
    assert lowered.as_text("fusion").count("group") == 2


def test_functions_that_need_values_run_as_python() -> None:
    calls = []

    @ft.checkpoint
    def f(x: Any, n: int) -> Any:
        calls.append(n)
        return np.sin(x) if x > 0 else -x

    assert ft.grad(f)(-1.0, 3) == -1.0
    calls.clear()
    np.testing.assert_allclose(ft.grad(f)(1.0, 3), np.cos(1.0))
    assert len(calls) >= 2  # forward, and once more backward
    np.testing.assert_allclose(ft.grad(ft.grad(f))(1.0, 3), -np.sin(1.0))
    np.testing.assert_allclose(ft.jvp(lambda x: f(x, 3), (1.0,), (1.0,))[1], np.cos(1.0))
    with pytest.raises(ft.errors.TracerBoolConversionError):
        ft.jit(f)(1.0, 3)


def test_closures_static_arguments_and_trees() -> None:
    def f(x: Any, w: Any) -> Any:
        inner = ft.checkpoint(lambda x: {"y": np.sin(w * x["a"]), "n": 3})
        return inner({"a": x})["y"]

    for form in (f, ft.jit(f)):
        gx, gw = ft.grad(form, (0, 1))(1.0, 2.0)
        np.testing.assert_allclose((gx, gw), (2.0 * np.cos(2.0), np.cos(2.0)))

    g = ft.remat(lambda kind, x, *, scale: scale * getattr(np, kind)(x), static_argnums=0)
    assert ft.grad(lambda x: g("cos", x, scale=2.0))(0.0) == 0.0


def test_effects_happen_once_forward(capsys: pytest.CaptureFixture[str]) -> None:
    @ft.checkpoint
    def f(x: Any) -> Any:
        ft.debug.print("x is {x}", x=x)
        return np.sin(np.sin(x))

    for grad in (ft.grad(f), ft.jit(ft.grad(f))):
        grad(1.0)
        assert capsys.readouterr().out == "x is 1.0\n"


def test_optimization_barrier() -> None:
    def f(x: Any) -> Any:
        y = np.sin(x)
        a, b = lax.optimization_barrier((x, y))
        return np.sum(np.sin(a) + b)

    for form in (f, ft.jit(f)):
        np.testing.assert_allclose(ft.grad(form)(X), 2.0 * np.cos(X))
        np.testing.assert_allclose(form(X), np.sum(2.0 * np.sin(X)))
        np.testing.assert_allclose(ft.jvp(form, (X,), (X,))[1], np.sum(2.0 * np.cos(X) * X))
    np.testing.assert_allclose(ft.vmap(f)(np.stack([X, X])), [f(X)] * 2)


def test_custom_rules_inside_checkpoint() -> None:
    scaled = ft.custom_vjp(lambda x: np.sin(x))
    scaled.defvjp(lambda x: (scaled(x), x), lambda x, ct: (5.0 * ct,))
    other = ft.custom_jvp(np.cos)
    other.defjvp(lambda p, t: (other(*p), 3.0 * t[0]))
    f = ft.checkpoint(lambda x: scaled(other(x)))
    for form in (f, ft.jit(f)):
        assert ft.grad(form)(0.5) == 15.0
        assert ft.jit(ft.grad(form))(0.5) == 15.0
