"""What the gradient of a scan stores of each step, and that it is the gradient nevertheless."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import functrace as ft
import functrace.numpy as fnp
from functrace import lax, nn
from functrace.control.loops.minimum_cut import ALWAYS, Graph
from functrace.core.jaxpr import JaxprEqn
from functrace.test_util import check_grads

N, STEPS = 40, 6
RNG = np.random.default_rng(3)
START = RNG.uniform(0.2, 0.8, N)
XS = RNG.uniform(0.2, 0.8, (STEPS, N))
W = RNG.normal(size=(N, N)) / N

Step = Callable[[Any, Any], Any]


def logistic_map(c: Any, x: Any) -> Any:
    return c + 0.1 * c * (1.0 - c), None


def polynomial(c: Any, x: Any) -> Any:
    for _ in range(3):
        c = c + 0.1 * c * (1.0 - c)
    return c, None


def driven(c: Any, x: Any) -> Any:
    return c * x, c


def heaviside(c: Any, x: Any) -> Any:
    return fnp.where(c > 0.5, c * c, 0.5 * c), None


def exponential(c: Any, x: Any) -> Any:
    return np.exp(-c * x), None


def saturating(c: Any, x: Any) -> Any:
    return np.tanh(c + x), None


def dense(c: Any, x: Any) -> Any:
    return np.tanh(W @ c + x), None


def inside_jit(c: Any, x: Any) -> Any:
    return ft.jit(lambda c: c + 0.1 * c * (1.0 - c))(c), None


def stencil(c: Any, x: Any) -> Any:
    return fnp.concatenate([c[:1], c[1:-1] * (c[2:] - c[:-2]), c[-1:]]), None


def two_carries(c: Any, x: Any) -> Any:
    a, b = c[: N // 2], c[N // 2 :]
    return fnp.concatenate([a + 0.1 * a * b, b - 0.1 * a * b]), None


def outcome(c: Any, x: Any) -> Any:
    out = np.exp(c)
    return out * 0.3, out


# Of each body, what is stored in each step: shapes of the stacks that the forward loop makes.
BODIES = [
    (logistic_map, [(N,)]),
    (polynomial, [(N,)]),
    (driven, [(N,)]),
    (heaviside, [(N,)]),
    (exponential, [(N,)]),
    (saturating, [(N,)]),
    (dense, [(N,)]),
    (inside_jit, [(N,)]),
    (stencil, [(N,)]),
    (two_carries, [(N // 2,), (N // 2,)]),
    (outcome, [(N,)]),
]
every_body = pytest.mark.parametrize(
    "step, stored", BODIES, ids=lambda v: getattr(v, "__name__", "")
)


def loss_of(step: Step) -> Callable[[Any], Any]:
    def loss(c: Any) -> Any:
        last, ys = lax.scan(step, c, XS)
        return np.sum(last**2) + (0.0 if ys is None else np.sum(np.sin(ys)))

    return loss


def scans(fun: Callable[..., Any], *args: Any) -> list[JaxprEqn]:
    return [e for e in ft.make_jaxpr(fun)(*args).eqns if e.primitive.name == "scan"]


@every_body
def test_what_is_stored_of_each_step(step: Step, stored: list[tuple[int, ...]]) -> None:
    forward, _ = scans(ft.grad(loss_of(step)), START)
    stacks = forward.outvars[forward.params["num_carry"] :]
    assert [v.aval.shape for v in stacks] == [(STEPS, *shape) for shape in stored]


@every_body
def test_gradients_are_the_same_however_they_run(step: Step, stored: Any) -> None:
    loss = loss_of(step)
    with ft.config.override(checks=True):
        with ft.disable_jit():
            want = ft.grad(loss)(START)
        np.testing.assert_allclose(ft.grad(loss)(START), want, rtol=1e-12)
        np.testing.assert_allclose(ft.jit(ft.grad(loss))(START), want, rtol=1e-12)
        np.testing.assert_allclose(ft.jacfwd(loss)(START), want, rtol=1e-12)
        check_grads(loss, (START,), order=2, modes=("fwd", "rev"), rtol=1e-5, atol=1e-6)


def test_scalars_are_stored_where_computing_them_again_is_a_long_chain() -> None:
    def step(c: Any, x: Any) -> Any:
        a, b = c
        for _ in range(20):
            a, b = a + 0.01 * a * b, b - 0.01 * a * b
        return (a, b), None

    def loss(a: Any, b: Any) -> Any:
        return sum(lax.scan(step, (a, b), None, length=5)[0])

    forward, _ = scans(ft.grad(loss, (0, 1)), 1.0, 2.0)
    assert 20 <= len(forward.outvars) - 2 <= 60


def test_an_activation_is_stored_once() -> None:
    """Its derivative is a function of its value, or of the carry."""

    def step(c: Any, x: Any) -> Any:
        return nn.relu(c - 0.5 * x) + 0.1, None

    forward, _ = scans(ft.grad(loss_of(step)), START)
    (stack,) = forward.outvars[1:]
    assert stack.aval.size == STEPS * N


# --- the minimum cut ---------------------------------------------------------------------------


def test_a_cut_is_the_cheapest_and_the_nearest_to_the_sink() -> None:
    graph = Graph()
    graph.join(None, "a", 3)
    graph.join("a", "b", 2)
    graph.join("b", "c", 2)
    graph.join("c", None, ALWAYS)
    assert graph.behind_cut() == {"c"}


def cost(edges: list[tuple[Any, Any, int]], behind: set[Any]) -> int:
    def is_behind(node: Any, end: bool) -> bool:
        return end if node is None else node in behind

    return sum(w for a, b, w in edges if not is_behind(a, False) and is_behind(b, True))


@pytest.mark.parametrize("seed", range(40))
def test_no_other_cut_is_cheaper(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = list(range(int(rng.integers(1, 7))))
    ends = [None, *nodes]
    edges = []
    for _ in range(int(rng.integers(1, 16))):
        a, b = ends[rng.integers(len(ends))], ends[rng.integers(len(ends))]
        if a != b:
            edges.append((a, b, int(rng.integers(0, 9))))
    graph = Graph()
    for edge in edges:
        graph.join(*edge)
    found = cost(edges, graph.behind_cut())
    subsets = [{n for n in nodes if bits >> n & 1} for bits in range(1 << len(nodes))]
    assert found == min(cost(edges, s) for s in subsets)
