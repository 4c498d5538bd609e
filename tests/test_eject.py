"""Ejected modules: run without functrace, they give the compiled program's bits."""

from __future__ import annotations

import collections
import enum
import json
import pickle
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import functrace as ft
import functrace.numpy as fnp
from functrace import lax
from functrace.core.lowering import Host
from functrace.core.trace import PRIMITIVES, Primitive

RNG = np.random.default_rng(7)
X = RNG.normal(size=(40, 30))
LARGE = RNG.normal(size=(40, 30))
SPECIAL = np.array([np.nan, np.inf, -0.0, 1e-310])


Pair = collections.namedtuple("Pair", "a b")


def scale(x: Any, factor: int) -> Any:
    return x * factor


def rows(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        c = c * 0.5 + row
        return c, (c, row[::2], c.sum())

    return lax.scan(step, x[0] * 0.0, x, reverse=True)


def heat(u: Any) -> Any:
    def step(i: Any, u: Any) -> Any:
        return u + 0.1 * (fnp.roll(u, 1) - 2 * u + fnp.roll(u, -1))

    return lax.fori_loop(0, 7, step, u)


def grow(x: Any) -> Any:
    def body(s: Any) -> Any:
        x, k, _ = s
        return x * 1.5 + 1, k + 1, x

    return lax.while_loop(lambda s: (fnp.sum(s[0]) < 1e6) & (s[1] < 20), body, (x, 0, x))


def walk(x: Any, numbers: Any) -> Any:
    def step(c: Any, a: Any) -> Any:
        branches = [lambda c: c * 2, lambda c: c, lambda c: fnp.cumsum(c) * 0.01]
        c = lax.switch(a % 3, branches, c)
        return c, lax.cond(a > 4, lambda c: c[:5], lambda c: c[-5:] - 1, c)

    return lax.scan(step, x, numbers)


def places(x: Any, y: Any) -> Any:
    def step(c: Any, _: Any) -> Any:
        return (c[1], c[0], c[0] + c[1], c[2] * 2), c

    return lax.scan(step, (x, y, x, y), None, length=5)


def nested(x: Any) -> Any:
    def outer(c: Any, row: Any) -> Any:
        d, ys = lax.scan(lambda d, r: (d + r, d[::-1]), c[0] * 0.5, c, reverse=True)
        small = lax.fori_loop(0, 10, lambda i, s: s * 0.5 + i, row)
        return ys * 0.1 + d + small, ys.sum()

    return lax.scan(outer, x, x[:, 0])


def loop_loss(x: Any) -> Any:
    def step(c: Any, row: Any) -> Any:
        return c + 0.1 * c * (1.0 - c) * np.sin(row), np.max(c)

    c, ys = lax.scan(step, x[0], x)
    return np.sum(c**2) + np.sum(ys)


def checked_rows(x: Any, indices: Any) -> Any:
    return lax.scan(lambda c, i: (c + x[i], np.sort(c)), x[0], indices)


BIG = RNG.normal(size=(8, 1000))
# Loops and branches over arrays: steps that hold steps.
LOOPS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "rows": (rows, (BIG,)),
    "no_rows": (rows, (BIG[:1],)),
    "strided_rows": (
        lambda x: lax.scan(lambda c, row: (c + row, c[:3]), x[:, 0], x.T[::-1]),
        (RNG.normal(size=(1000, 8)),),
    ),
    "heat": (heat, (BIG[0],)),
    "grow": (grow, (np.abs(BIG[0]),)),
    "walk": (walk, (BIG[0], np.arange(10, dtype=np.int32))),
    "places": (places, (BIG[0], BIG[1])),
    "nested": (nested, (BIG,)),
    "loop_gradient": (ft.grad(loop_loss), (BIG,)),
    "lanes_of_branches": (
        lambda x: lax.cond(x[0] > 0, lambda x: np.cumsum(x), lambda x: np.sort(x), x),
        (BIG[1],),
    ),
    "integers_and_flags": (
        lambda x: lax.scan(
            lambda c, row: ((c[0] ^ (row > 0), c[1] + (row > 0)), c[1] % 3),
            (x[0] > 1, np.zeros(5000, np.int16)),
            x,
        ),
        (RNG.normal(size=(8, 5000)),),
    ),
    "checked_rows": (checked_rows, (BIG, np.array([3, -1, 0, 7]))),
    "gradient_of_while": (
        ft.grad(lambda x: np.sum(lax.while_loop(lambda c: c[0] < 5, pull, (0, x))[1])),
        (BIG[0],),
    ),
}


def pull(c: Any) -> Any:
    return c[0] + 1, c[1] - 0.1 * np.sin(c[1])


# name -> (function, arguments): kernels of every kind.
PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "elementwise": (
        lambda x, y: np.tanh(x) * y + np.log1p(y * y) - np.sin(1e7 * x),
        (X, X[0]),
    ),
    "float32": (lambda x: np.exp(x) / (1 + np.exp(x)), (X.astype(np.float32),)),
    "float16": (lambda x: np.sqrt(np.abs(x)) + x, (X.astype(np.float16),)),
    "complex": (lambda x: np.exp(1j * x) * np.conj(x + 2j), (X,)),
    "integers": (
        lambda a, b: (a // b, a % b, a << 3, a > b),
        (np.arange(-20, 20, dtype=np.int32), np.full(40, 7, np.int32)),
    ),
    "softmax": (
        lambda x: (
            np.exp(x - np.max(x, axis=1, keepdims=True))
            / np.sum(np.exp(x - np.max(x, axis=1, keepdims=True)), axis=1, keepdims=True)
        ),
        (X,),
    ),
    "reductions": (lambda x: (np.sum(x), np.max(x, axis=0), np.argmin(x, axis=1)), (X,)),
    "large_sum": (lambda x: np.sum(x * x), (RNG.normal(size=400_000),)),
    "movement": (
        lambda x: (x.T + 1, x[::-1, ::2], np.concatenate([x, x[:3]]), x[3:9].reshape(-1)),
        (X,),
    ),
    "sorting": (lambda x: (np.sort(x, axis=0), np.argsort(x, axis=1), np.cumsum(x, axis=1)), (X,)),
    "gather": (lambda x, i: x[i] * 2.0, (X, np.array([3, -1, 0]))),
    "small_product": (lambda a: a @ a, (X[:3, :3].copy(),)),
    "gradient": (ft.grad(lambda x: np.sum(np.tanh(x) ** 2)), (X,)),
    "constants": (lambda x: x + LARGE * np.arange(30.0) + SPECIAL[0], (X,)),
    "small_constants": (lambda x: x[:4] + np.array([1.0, -0.0, 0.1, 3e300]), (X[0],)),
    "numbers": (lambda x, a: (x * a, a), (X, 3.0)),
    "same_again": (lambda x: (x, x, np.float64(2.0) * x[0, 0]), (X,)),
    "tree": (lambda p: {"a": [p["w"] * 2, None], "b": (p["b"],)}, ({"w": X, "b": X[0]},)),
    "empty": (lambda x: x[:0] + 1.0, (X,)),
}

CHILD = """
import importlib, json, sys, pickle
sys.path.insert(0, sys.argv[1])
jobs = pickle.load(open(sys.argv[1] + "/jobs.pickle", "rb"))
found = {}
for name, (function, args) in jobs.items():
    found[name] = getattr(importlib.import_module("ejected_" + name), function)(*args)
pickle.dump(found, open(sys.argv[1] + "/found.pickle", "wb"))
print(json.dumps([m for m in sys.modules if m.split(".")[0] == "functrace"]))
"""


def run_ejected(folder: Path, jobs: dict[str, tuple[str, tuple[Any, ...]]]) -> Any:
    """Call the modules' functions in a process that has no functrace."""
    (folder / "jobs.pickle").write_bytes(pickle.dumps(jobs))
    done = subprocess.run(
        [sys.executable, "-I", "-c", CHILD, str(folder)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == []
    return pickle.loads((folder / "found.pickle").read_bytes())


@pytest.fixture(scope="module")
def ejected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The results of all programs, ejected and run in one child."""
    folder = tmp_path_factory.mktemp("ejected")
    jobs = {}
    for name, (fun, args) in (PROGRAMS | LOOPS).items():
        path = ft.jit(fun).eject(folder / f"ejected_{name}.py", *args)
        (function,) = re.findall(r"^def ((?!_|rt_|vm_|kernel_)\w+)\(", path.read_text(), re.M)
        jobs[name] = (function, args)
    assert not list(folder.glob("*.part"))
    found: dict[str, Any] = run_ejected(folder, jobs)
    return found


@pytest.mark.parametrize("name", PROGRAMS | LOOPS)
def test_ejected_modules_give_the_same_bits(name: str, ejected: dict[str, Any]) -> None:
    fun, args = (PROGRAMS | LOOPS)[name]
    wanted = ft.jit(fun)(*args)
    assert ft.tree.structure(ejected[name]) == ft.tree.structure(wanted)
    for a, b in zip(ft.tree.leaves(ejected[name]), ft.tree.leaves(wanted)):
        assert type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("name", LOOPS)
def test_these_loops_are_steps(name: str) -> None:
    fun, args = LOOPS[name]
    steps = ft.jit(fun).lower(*args).as_text("fusion")
    assert re.search(r"^group \d+: steps", steps, re.M)


def load(path: Path) -> dict[str, Any]:
    """Run a module in this process."""
    scope: dict[str, Any] = {"__file__": str(path)}
    exec(compile(path.read_text(), str(path), "exec"), scope)
    return scope


def test_products_are_numpys(tmp_path: Path) -> None:
    def layer(w: Any, x: Any) -> Any:
        return np.tanh(np.einsum("bij,jk->bik", x, w)) + (w.T @ w)[0, 0]

    args = (RNG.normal(size=(24, 16)), RNG.normal(size=(3, 20, 24)))
    path = ft.jit(layer).eject(tmp_path / "layer.py", *args)
    assert "np.matmul" in path.read_text()
    assert_allclose(load(path)["layer"](*args), ft.jit(layer)(*args), rtol=1e-13)


def test_a_strided_operand_of_a_product(tmp_path: Path) -> None:
    def rows(x: Any) -> Any:
        return x[2:36:2] @ x[:, :20]

    x = RNG.normal(size=(30, 30))
    path = ft.jit(rows).eject(tmp_path / "rows.py", x)
    assert_allclose(load(path)["rows"](x), rows(x), rtol=1e-12)


def test_ejected_functions_check_their_arguments(tmp_path: Path) -> None:
    path = ft.jit(scale, static_argnames="factor").eject(tmp_path / "s.py", X, factor=3)
    function = load(path)["scale"]
    np.testing.assert_array_equal(function(X), X * 3)
    with pytest.raises(TypeError, match=r"x has shape \(3,\) and dtype float64; this program"):
        function(np.ones(3))


def test_ejected_functions_raise_index_errors(tmp_path: Path) -> None:
    def pick(x: Any, i: Any) -> Any:
        return x[i]

    path = ft.jit(pick).eject(tmp_path / "pick.py", X, np.array([0]))
    with pytest.raises(IndexError, match="index 99 is out of bounds for axis 0 with size 40"):
        load(path)["pick"](X, np.array([99]))


def test_ejected_loops_raise_index_errors(tmp_path: Path) -> None:
    path = ft.jit(checked_rows).eject(tmp_path / "loop.py", BIG, np.array([0, 1]))
    with pytest.raises(IndexError, match="index 8 is out of bounds for axis 0 with size 8"):
        load(path)["checked_rows"](BIG, np.array([0, 8]))


def test_static_arguments_and_keywords(tmp_path: Path) -> None:
    def power(n: int, x: Any, *, shift: Any) -> Any:
        return x**n + shift

    jitted = ft.jit(power, static_argnums=0)
    path = jitted.eject(tmp_path / "power.py", 2, X, shift=1.0)
    np.testing.assert_array_equal(load(path)["power"](X, shift=1.0), jitted(2, X, shift=1.0))


def test_another_programs_constants_are_noticed(tmp_path: Path) -> None:
    first = ft.jit(lambda x: x + LARGE).eject(tmp_path / "f.py", X).read_text()
    ft.jit(lambda x: x + 2 * LARGE[::-1]).eject(tmp_path / "f.py", X)
    (tmp_path / "f.py").write_text(first)
    with pytest.raises(KeyError, match="const_0_"):
        load(tmp_path / "f.py")


class Color(enum.Enum):
    RED = 1


def test_containers_of_the_output(tmp_path: Path) -> None:
    def several(x: Any) -> Any:
        return {"p": Pair(x + 1, [x]), "o": {Color.RED: x * 2}, (1, "k"): None}

    path = ft.jit(several).eject(tmp_path / "several.py", X)
    found = load(path)["several"](X)
    assert type(found["p"]) is tuple and type(found["o"]) is tuple and found[(1, "k")] is None
    np.testing.assert_array_equal(found["p"][1], X)
    np.testing.assert_array_equal(found["o"][0], X * 2)


def test_containers_of_the_arguments(tmp_path: Path) -> None:
    def total(p: Any, d: Any) -> Any:
        return p.a + p.b[0] + d[(1, "k")]

    args = (Pair(X, [X]), {(1, "k"): 2.0})
    path = ft.jit(total).eject(tmp_path / "total.py", *args)
    np.testing.assert_array_equal(load(path)["total"](*args), ft.jit(total)(*args))
    with pytest.raises(NotImplementedError, match="can't name the argument's leaf"):
        ft.jit(lambda d: d[Color.RED] * 2).eject(tmp_path / "no.py", {Color.RED: X})


def test_names_of_the_user_dont_collide(tmp_path: Path) -> None:
    def kernel_0(in_1: Any, in_0: Any, np: Any) -> Any:
        return in_1 - in_0 * np

    path = ft.jit(kernel_0).eject(tmp_path / "names.py", X, 2 * X, X[0])
    found = load(path)["function"](X, 2 * X, X[0])
    np.testing.assert_array_equal(found, X - 2 * X * X[0])


def test_eject_wants_a_python_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"doesn't end in \.py"):
        ft.jit(scale, static_argnums=1).eject(tmp_path / "module.txt", X, 2)


def test_what_python_runs_is_not_ejected(tmp_path: Path) -> None:
    opaque = Primitive("opaque")
    opaque.def_impl(lambda x: x * 2)
    opaque.def_abstract_eval(lambda x: x)
    opaque.def_lowering(Host("a test"))
    try:
        with pytest.raises(NotImplementedError, match=r"eject: opaque at .*test_eject"):
            ft.jit(lambda x: opaque.bind(x)).eject(tmp_path / "o.py", X)
    finally:
        PRIMITIVES.pop("opaque", None)
    assert not list(tmp_path.iterdir())
