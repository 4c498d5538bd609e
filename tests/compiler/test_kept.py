"""Programs kept on disk: found by a second process, the same to the bit, never mistaken."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import functrace as ft
from functrace import lax
from functrace.compiler import kept
from functrace.compiler.codegen.kernels import StepCode
from functrace.compiler.identity import NotPlainError, program_identity
from functrace.compiler.kept import KeptProgram, compiled_program
from functrace.compiler.plan import Group, Op
from functrace.compiler.planning.schedule import Schedule
from functrace.compiler.runtime.build import clear_caches
from functrace.compiler.runtime.image import supported
from functrace.config import config
from functrace.core.lowering import Elementwise
from functrace.core.trace import Primitive

X = np.linspace(0.1, 2.0, 60).reshape(6, 10)


@pytest.fixture(autouse=True)
def directory(tmp_path: Path) -> Iterator[Path]:
    """A cache directory of this test's own; checks off, or every program is compiled."""
    clear_caches()
    with config.override(cache_dir=str(tmp_path / "cache"), checks=False):
        yield tmp_path / "cache"
    clear_caches()


def found(f: Callable[..., Any], *args: Any) -> tuple[Any, KeptProgram]:
    """Compile, forget what is in memory, and return the compiled and the found program."""
    first = compiled_program(ft.make_jaxpr(f)(*args), "f", None)
    clear_caches()
    second = compiled_program(ft.make_jaxpr(f)(*args), "f", None)
    assert not isinstance(first, KeptProgram)
    assert isinstance(second, KeptProgram)
    return first, second


def _step(params: list[Any], x: Any) -> list[Any]:
    def loss(params: list[Any]) -> Any:
        h = np.tanh(x @ params[0] + params[1])
        return np.mean((h @ params[2]) ** 2)

    grads = ft.grad(loss)(params)
    return [p - 0.1 * g for p, g in zip(params, grads)]


PROGRAMS: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
    "fused": (lambda x: np.sin(x) * 2.0 + np.sum(x, axis=1, keepdims=True), (X,)),
    "constants": (lambda x: x + np.arange(10.0) + np.float32(0.1), (X,)),
    "scalars": (lambda a, b: (a * b, a < b), (2.0, 3)),
    "views": (lambda x: (x.T, x[::2], x), (X,)),
    "products": (lambda x: np.tanh(x @ x.T) @ x, (np.tile(X, (20, 20)),)),
    "solve": (lambda a, b: np.linalg.solve(a, b), (X[:, :6] + 9 * np.eye(6), X)),
    "loop": (lambda x: lax.fori_loop(0, 5, lambda i, c: np.sin(c) + i, x), (X,)),
    "choice": (lambda x: lax.cond(x[0, 0] > 0.0, np.exp, np.negative, x), (X,)),
    "step": (_step, ([X[:, :4].T.copy(), np.zeros(6), np.ones((6, 1))], np.ones((8, 4)))),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_found_program_gives_the_same_bits(name: str) -> None:
    f, args = PROGRAMS[name]
    first, second = found(f, *args)
    leaves = ft.tree.leaves(args)
    for a, b in zip(first(*leaves), second(*leaves), strict=True):
        assert np.asarray(a).dtype == np.asarray(b).dtype
        np.testing.assert_array_equal(a, b)
    assert second.program.as_text() == first.program.as_text()


def test_everything_else_of_a_found_program_is_made_when_asked_for() -> None:
    first, second = found(*_flat_program("step"))
    assert second._origin._full is None
    assert second.as_text("plan") == first.as_text("plan")
    assert second.cost_analysis() == first.cost_analysis()
    assert second.memory_analysis() == first.memory_analysis()
    assert len(second.step_work()) == len(second.program.steps)


def test_a_program_keeps_nothing_of_its_compilation() -> None:
    def parts_alive() -> int:
        gc.collect()
        return sum(type(x) in (Group, Op, Schedule, StepCode) for x in gc.get_objects())

    before = parts_alive()
    f = ft.jit(lambda x: np.tanh(x).sum(0) + ft.lax.fori_loop(0, 9, lambda i, y: y * 1.5, x[0]))
    f(np.ones((700, 90)))
    assert parts_alive() <= before  # what earlier tests left may have gone meanwhile
    work = f.lower(np.ones((700, 90))).compile().cost_analysis()
    assert work["flops"] > 0


def _flat_program(name: str) -> tuple[Any, ...]:
    f, args = PROGRAMS[name]
    return (f, *args)


def test_a_failed_check_of_a_found_program_names_the_line() -> None:
    first, second = found(lambda a, b: np.linalg.solve(a, b), np.eye(40), np.ones(40))
    singular = np.zeros((40, 40))
    for program in (first, second):
        with pytest.raises(np.linalg.LinAlgError) as failure:
            program(singular, np.ones(40))
        assert any("test_kept.py" in note for note in failure.value.__notes__)


def test_what_tells_programs_apart() -> None:
    def same(f: Any, g: Any, a: Any = X, b: Any = X) -> bool:
        return program_identity(ft.make_jaxpr(f)(a)) == program_identity(ft.make_jaxpr(g)(b))

    constant = np.arange(10.0)
    assert same(lambda x: x * 2.0 + 1.0, lambda y: 1.0 + y * 2.0) is False
    assert same(lambda x: x * 2.0, lambda y: y * 2.0)
    assert not same(lambda x: x * 0.0, lambda x: x * -0.0)
    assert not same(lambda x: np.sum(x, 0), lambda x: np.sum(x, 1))
    assert not same(np.sin, np.sin, X, X.astype(np.float32))
    assert not same(np.sin, np.sin, X, X[:5])
    assert not same(np.sin, np.sin, 1.0, np.float64(1.0))
    assert same(lambda x: x + constant, lambda x: x + np.arange(10.0))
    assert not same(lambda x: x + constant, lambda x: x + constant[::-1])
    assert not same(lambda x: (x, x + 1.0), lambda x: (x + 1.0, x))


def test_only_plain_data_has_an_identity() -> None:
    with pytest.raises(NotPlainError, match="not plain"):
        program_identity(
            ft.make_jaxpr(
                lambda x: ft.pure_callback(np.sin, ft.ShapeDtypeStruct((6, 10), float), x)
            )(X)
        )
    with pytest.raises(NotPlainError, match="large"):
        program_identity(ft.make_jaxpr(lambda x: x + np.ones((600, 600)))(1.0))
    mine = Primitive("mine")
    mine.def_abstract_eval(lambda x: x)
    mine.def_lowering(Elementwise(lambda b, x: b.neg(x)))
    with pytest.raises(NotPlainError, match="mine is not functrace's own"):
        program_identity(ft.make_jaxpr(lambda x: mine.bind(x))(X))


def test_a_program_in_a_new_size_is_not_kept(directory: Path) -> None:
    def f(x: Any) -> Any:
        return np.sin(x) * x

    def count() -> int:
        return len(list((directory / "objects-1").iterdir()))

    compiled_program(ft.make_jaxpr(f)(np.ones((600, 100))), "f", None)
    before = count()
    compiled_program(ft.make_jaxpr(f)(np.ones((700, 100))), "f", None)
    assert count() == before


def test_checks_and_other_backends_always_compile() -> None:
    found(np.sin, X)
    for setting in ({"checks": True}, {"backend": "python"}):
        with config.override(**setting):
            program = compiled_program(ft.make_jaxpr(np.sin)(X), "f", None)
            assert not isinstance(program, KeptProgram)


def test_a_found_program_is_logged(capsys: pytest.CaptureFixture[str]) -> None:
    with config.override(log_compiles=True):
        found(np.sin, X)
    assert "functrace found f on disk" in capsys.readouterr().out


def test_a_program_with_a_huge_table_is_not_kept(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept, "_MOST_BYTES", 10)
    for _ in range(2):
        assert not isinstance(compiled_program(ft.make_jaxpr(np.sin)(X), "f", None), KeptProgram)


WARM = """
import sys
import numpy as np
import functrace as ft

def loss(params, x, y):
    h = np.tanh(x @ params["w"] + params["b"])
    return np.mean((h - y) ** 2)

@ft.jit
def step(params, x, y):
    value, grads = ft.value_and_grad(loss)(params, x, y)
    return value, ft.tree.map(lambda p, g: p - 0.1 * g, params, grads)

params = {"w": np.ones((3, 2)), "b": np.zeros(2)}
value, params = step(params, np.ones((4, 3)), np.zeros((4, 2)))
heavy = ("numba", "llvmlite", "scipy", "functrace.compiler.pipeline")
loaded = ",".join(m for m in heavy if m in sys.modules)
digest = value.hex() + params["w"].tobytes().hex()
print(digest, ft.cache_info().compiled, loaded or "none")
"""


def test_a_warm_process_trains_without_any_compiler(directory: Path) -> None:
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "FUNCTRACE_CACHE_DIR": str(directory)}
    runs = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", WARM],
            capture_output=True,
            text=True,
            env=environment,
            check=True,
        ).stdout.split()
        for _ in range(2)
    ]
    cold, warm = runs
    assert int(cold[1]) > 0
    assert warm[:2] == [cold[0], "0"]
    if supported():
        assert warm[2] == "none"
