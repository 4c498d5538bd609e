"""The pipeline as a whole: stages and their text, errors, backends, nested jaxprs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from programs import check, trace

from functrace.compiler.pipeline import STAGES, compile_jaxpr
from functrace.config import config
from functrace.core.aval import ShapedArray
from functrace.core.lowering import Host
from functrace.core.trace import PRIMITIVES, Primitive
from functrace.interpreters.staging import stage
from functrace.ops.arithmetic import add, mul, neg
from functrace.ops.broadcasting import reduce_sum
from functrace.ops.contraction import dot
from functrace.ops.exponentials import exp
from functrace.ops.structural import transpose

X = np.arange(6.0).reshape(2, 3)


def model(x: Any, w: Any) -> list[Any]:
    h = exp(neg(dot(x, w)))
    return [h, reduce_sum(mul(h, h), (1,))]


ARGS = (X, np.ones((3, 4)) * 0.1)
TEXTS = [
    "jaxpr", "simplified", "views", "fusion", "schedule", "memory", "plan", "kernels", "program",
    "numba", "llvm",
]  # fmt: skip


@pytest.mark.parametrize("name", TEXTS)
def test_every_stage_has_a_text(name: str) -> None:
    text = check(model, *ARGS).as_text(name)
    assert text.strip()
    expected = {"jaxpr": "dot_general", "fusion": "group 1: loop", "llvm": "define i64 @kernel"}
    assert expected.get(name, "") in text


def test_an_unknown_stage_is_named() -> None:
    with pytest.raises(ValueError, match="no stage is called 'hlo'"):
        check(model, *ARGS).as_text("hlo")


def test_stages_are_named_once() -> None:
    names = [s.name for s in STAGES]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("backend", ["llvm", "python", "numba"])
def test_backends_agree(backend: str) -> None:
    check(model, *ARGS, backend=backend)


def test_backends_agree_bit_by_bit() -> None:
    closed = trace(model, *ARGS)
    results = [compile_jaxpr(closed, backend=b)(*ARGS) for b in ("llvm", "python")]
    for a, b in zip(*results):
        np.testing.assert_array_equal(a, b)


def test_the_backend_of_the_config_is_used() -> None:
    with config.override(backend="python"):
        compiled = compile_jaxpr(trace(model, *ARGS))
    assert compiled.compilation.backend == "python"


def test_no_inputs_and_no_outputs() -> None:
    check(lambda: [np.float64(2.0), np.arange(3.0)])
    check(lambda x: [], X)
    check(lambda x: [x], X)


def test_constants_are_captured() -> None:
    table = np.arange(3.0)
    check(lambda x: [add(x, table_in(table))], np.ones(3))


def table_in(table: Any) -> Any:
    return mul(table, 2.0)


def test_arguments_in_other_layouts_are_accepted() -> None:
    compiled = check(lambda x: [mul(x, 2.0)], X)
    for odd in (np.asfortranarray(X), X[::-1], np.array(X.T, order="C").T):
        np.testing.assert_array_equal(compiled(odd)[0], odd * 2.0)


def test_python_numbers_are_weak_inputs() -> None:
    aval = ShapedArray((), np.dtype(np.float64), True)
    compiled = compile_jaxpr(stage(lambda s: [mul(s, 2.0)], [aval], "weak"))
    assert compiled.program.call(1.5) == [3.0]
    assert compiled.program.call(np.float64(1.5)) is None
    assert compiled(np.float64(1.5)) == [3.0]


def test_a_compiled_program_can_be_called_again() -> None:
    compiled = check(model, *ARGS)
    first = compiled(*ARGS)
    second = compiled(X + 1.0, ARGS[1])
    np.testing.assert_array_equal(first[0], compiled(*ARGS)[0])
    assert not np.array_equal(first[0], second[0])


def test_an_index_out_of_bounds_is_numpys_error_with_the_line() -> None:
    compiled = compile_jaxpr(trace(lambda x, i: [mul(x[i], 2.0)], X, np.int64(0)))
    np.testing.assert_array_equal(compiled(X, np.int64(-1))[0], X[-1] * 2.0)
    with pytest.raises(IndexError) as caught:
        compiled(X, np.int64(5))
    with pytest.raises(IndexError) as numpys:
        X[5]
    assert str(caught.value) == str(numpys.value)
    assert "test_pipeline.py" in caught.value.__notes__[0]


@pytest.fixture
def spy() -> Any:
    """A primitive that runs Python, and what it saw; it leaves the registry afterwards."""
    seen: list[Any] = []
    reasons = {"not_differentiable": "a test", "not_linear": "a test"}
    primitive = Primitive("spy_for_test", effect=True, **reasons)

    @primitive.def_impl
    def _impl(x: Any, *, tag: int) -> Any:
        seen.append((tag, np.array(x)))
        return x * 2.0

    primitive.def_abstract_eval(lambda x, tag: ShapedArray(x.shape, x.dtype))
    primitive.def_lowering(Host("a test"))
    yield primitive, seen
    del PRIMITIVES["spy_for_test"]


@pytest.mark.parametrize("backend", ["llvm", "python"])
def test_python_is_called_in_order_and_never_dropped(spy: Any, backend: str) -> None:
    primitive, seen = spy

    def fun(x: Any, s: Any) -> list[Any]:
        late = primitive.bind(exp(transpose(x, (1, 0))), tag=0)
        primitive.bind(s, tag=1)
        return [add(late, 1.0)]

    compiled = compile_jaxpr(trace(fun, X, np.float64(3.0)), backend=backend)
    np.testing.assert_allclose(compiled(X, np.float64(3.0))[0], np.exp(X.T) * 2.0 + 1.0)
    assert [tag for tag, _ in seen] == [0, 1]
    np.testing.assert_allclose(seen[0][1], np.exp(X.T))
    assert seen[1][1] == 3.0
