"""jit = interpreter: every primitive's lowering gives what its impl gives, on its samples."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from samples import Sample, load_all

from functrace.compiler.pipeline import compile_jaxpr
from functrace.config import config
from functrace.core.aval import typeof
from functrace.core.lowering import Host, Nested
from functrace.core.trace import PRIMITIVES
from functrace.interpreters.staging import stage

CASES = [
    pytest.param(name, dtype, id=f"{name}-{dtype}")
    for name, entries in sorted(load_all().items())
    for dtype in dict.fromkeys(d for e in entries for d in e.dtypes)
    if name in PRIMITIVES and not isinstance(PRIMITIVES[name].lowering, (Host, Nested))
]


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_compiled_equals_interpreted(name: str, dtype: np.dtype[Any]) -> None:
    for entry in load_all()[name]:
        if dtype in entry.dtypes:
            for sample in entry.samples(dtype):
                if sample.jit:
                    check(name, sample)


def check(name: str, sample: Sample) -> None:
    primitive = PRIMITIVES[name]
    args = list(sample.args)
    with np.errstate(all="ignore"):
        expected = primitive.bind(*args, **sample.params)
    if not primitive.multiple_results:
        expected = [expected]

    def call(*xs: Any) -> list[Any]:
        out = primitive.bind(*xs, **sample.params)
        return list(out) if primitive.multiple_results else [out]

    with config.override(checks=True):
        closed = stage(call, [typeof(a).strong() for a in args], name)
        results = compile_jaxpr(closed)(*args)
    assert len(results) == len(expected)
    for got, want in zip(results, expected):
        want = np.asarray(want)
        assert np.shape(got) == want.shape
        assert got.dtype == want.dtype
        compare(np.asarray(got), want, sample)


def compare(got: np.ndarray[Any, Any], want: np.ndarray[Any, Any], sample: Sample) -> None:
    if want.dtype.kind not in "fc":
        np.testing.assert_array_equal(got, want)
        return
    eps = np.finfo(want.dtype).eps
    scale = sample.ulp * sample.tol * eps
    np.testing.assert_allclose(got, want, rtol=scale, atol=scale)


def test_no_primitive_runs_on_the_host() -> None:
    """Host steps are for the user's own functions: callbacks, and rules that are run late."""
    on_host = {name for name, p in PRIMITIVES.items() if isinstance(p.lowering, Host)}
    own = {"pure_callback", "io_callback", "debug_callback", "custom_vjp_pullback"}
    assert on_host <= own
