"""The checkers are checked: each law notices a rule that is wrong by 0.1%."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import laws
import numpy as np
import pytest
from samples import Sample, normal

import functrace
from functrace.core.aval import ShapedArray
from functrace.core.jaxpr import Jaxpr, check_jaxpr
from functrace.core.lowering import Elementwise
from functrace.core.trace import PRIMITIVES, Primitive
from functrace.errors import JaxprTypeError
from functrace.interpreters.staging import stage
from functrace.ops.arithmetic import mul, mul_p
from functrace.ops.transcendental import cos, sin, sin_p

RNG = np.random.default_rng(0)
ONE = Sample((normal(RNG, np.dtype(float), (2, 3)),))
TWO = Sample((normal(RNG, np.dtype(float), (4,)), normal(RNG, np.dtype(float), (4,))))

Forge = Callable[..., Primitive]


@pytest.fixture
def forge() -> Iterator[Forge]:
    """Make copies of a primitive with some rules replaced; none stays registered."""
    known = set(PRIMITIVES)

    def make(base: Primitive, **rules: Any) -> Primitive:
        copy = Primitive(f"forged_{base.name}", elementwise=base.elementwise)
        kinds = ("impl", "abstract_eval", "jvp", "jvp_each", "transpose", "batching", "lowering")
        for kind in kinds:
            setattr(copy, kind, rules.get(kind, getattr(base, kind)))
        return copy

    yield make
    for name in set(PRIMITIVES) - known:
        del PRIMITIVES[name]


def batched_with(factor: float) -> Callable[..., Any]:
    """Return a batching rule of sin that is off by a factor."""
    return lambda size, args, dims: (mul(sin(args[0]), factor), dims[0])


def all_laws(primitive: Primitive, sample: Sample, reference: Callable[..., Any]) -> None:
    """Check everything but compilation."""
    laws.law_impl(primitive, sample, reference)
    laws.law_type(primitive, sample)
    laws.law_staging(primitive, sample)
    laws.law_jvp(primitive, sample)
    laws.law_complex_step(primitive, sample)
    laws.law_staged_jvp(primitive, sample)
    laws.law_adjoint(primitive, sample)
    laws.law_vmap(primitive, sample)


def test_faithful_copies_pass(forge: Forge) -> None:
    all_laws(forge(sin_p, batching=batched_with(1.0)), ONE, np.sin)
    all_laws(forge(mul_p, transpose=_product_transpose(1.0, 1.0)), TWO, np.multiply)


def test_wrong_impl(forge: Forge) -> None:
    wrong = forge(sin_p, impl=lambda x: np.sin(x) * 1.001)
    with pytest.raises(AssertionError):
        laws.law_impl(wrong, ONE, np.sin)


def test_impl_that_writes_to_its_operand(forge: Forge) -> None:
    sample = Sample((np.ones(3),))
    with pytest.raises(AssertionError):
        laws.law_impl(forge(sin_p, impl=lambda x: np.sin(x, out=x)), sample, np.sin)


def test_no_reference(forge: Forge) -> None:
    with pytest.raises(AssertionError, match="no reference"):
        laws.law_impl(forge(sin_p), ONE, None)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda x: ShapedArray(x.shape, np.dtype(np.float32)),
        lambda x: ShapedArray((*x.shape, 1), x.dtype),
    ],
)
def test_wrong_type(forge: Forge, wrong: Callable[..., Any]) -> None:
    with pytest.raises(AssertionError):
        laws.law_type(forge(sin_p, abstract_eval=wrong), ONE)


def test_impl_that_returns_a_0d_array(forge: Forge) -> None:
    wrong = forge(sin_p, impl=lambda x: np.asarray(np.sin(x)))
    with pytest.raises(AssertionError, match="0-d"):
        laws.law_type(wrong, Sample((np.float64(1),)))


def test_impure_impl(forge: Forge) -> None:
    calls: list[int] = []

    def drifting(x: Any) -> Any:
        calls.append(1)
        return np.sin(x) * 1.001 ** len(calls)

    with pytest.raises(AssertionError):
        laws.law_staging(forge(sin_p, impl=drifting), ONE)


def test_wrong_jvp(forge: Forge) -> None:
    wrong = forge(sin_p, jvp_each=(lambda t, out, x: mul(t, mul(cos(x), 1.001)),))
    with pytest.raises(AssertionError):
        laws.law_jvp(wrong, ONE)
    with pytest.raises(AssertionError):
        laws.law_complex_step(wrong, ONE)


def test_jvp_that_depends_on_how_it_runs(forge: Forge) -> None:
    def rule(t: Any, out: Any, x: Any) -> Any:
        return mul(t, mul(cos(x), 1.0 if isinstance(x, np.ndarray) else 1.001))

    with pytest.raises(AssertionError):
        laws.law_staged_jvp(forge(sin_p, jvp_each=(rule,)), ONE)


def test_missing_jvp(forge: Forge) -> None:
    with pytest.raises(AssertionError):
        laws.law_jvp(forge(mul_p, jvp_each=(mul_p.jvp_each[0], None)), TWO)


def _product_transpose(first: float, second: float) -> Callable[..., Any]:
    def rule(ct: Any, x: Any, y: Any) -> Any:
        right = mul_p.transpose(ct, x, y)
        return [None if r is None else mul(r, f) for r, f in zip(right, (first, second))]

    return rule


@pytest.mark.parametrize("factors", [(1.001, 1.0), (1.0, 1.001)])
def test_wrong_transpose(forge: Forge, factors: tuple[float, float]) -> None:
    # The derivative of a product uses the product: the copy must use itself.
    wrong = forge(mul_p, transpose=_product_transpose(*factors))
    wrong.jvp_each = (
        lambda t, out, x, y: wrong.bind(t, y),
        lambda t, out, x, y: wrong.bind(x, t),
    )
    with pytest.raises(AssertionError):
        laws.law_adjoint(wrong, TWO)


def test_cotangent_of_wrong_type(forge: Forge) -> None:
    wrong = forge(sin_p)
    wrong.jvp_each = (lambda t, out, x: wrong.bind(t),)
    wrong.transpose = lambda ct, x: [ct[0]]
    with pytest.raises(AssertionError):
        laws.law_adjoint(wrong, ONE)


def test_wrong_batching(forge: Forge) -> None:
    with pytest.raises(AssertionError):
        laws.law_vmap(forge(sin_p, batching=batched_with(1.001)), ONE)


def test_batching_that_names_the_wrong_axis(forge: Forge) -> None:
    def rule(size: int, args: Any, dims: Any) -> Any:
        return sin(args[0]), 0

    with pytest.raises(AssertionError):
        laws.law_vmap(forge(sin_p, batching=rule), Sample((normal(RNG, np.dtype(float), (3, 3)),)))


def test_wrong_lowering(forge: Forge) -> None:
    right = Elementwise(lambda b, x: b.math("sin", x))
    laws.law_jit(functrace.jit, forge(sin_p, lowering=right), ONE, layouts=False)
    wrong = forge(mul_p, lowering=Elementwise(lambda b, x, y: b.mul(b.mul(x, y), 1.001)))
    with pytest.raises(AssertionError, match="ulp"):
        laws.law_jit(functrace.jit, wrong, TWO, layouts=False)


def test_wrong_integer_lowering(forge: Forge) -> None:
    wrong = forge(mul_p, lowering=Elementwise(lambda b, x, y: b.add(b.mul(x, y), 1)))
    sample = Sample((np.arange(3), np.arange(3)))
    with pytest.raises(AssertionError):
        laws.law_jit(functrace.jit, wrong, sample, layouts=False)


def test_derivative_of_what_has_none(forge: Forge) -> None:
    with pytest.raises(AssertionError):
        laws.law_not_differentiable(forge(sin_p), ONE)


def test_check_jaxpr_notices_a_wrong_type() -> None:
    closed = stage(lambda x: [sin(x)], [ShapedArray((3,), np.dtype(float))], "f")
    jaxpr = closed.jaxpr
    check_jaxpr(jaxpr)
    (eqn,) = jaxpr.eqns
    eqn.outvars[0].aval = ShapedArray((4,), np.dtype(float))
    with pytest.raises(JaxprTypeError):
        check_jaxpr(jaxpr)
    with pytest.raises(JaxprTypeError):
        check_jaxpr(Jaxpr([], [], jaxpr.outvars, []))
