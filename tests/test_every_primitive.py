"""Every primitive obeys every law, on its samples, for each of its dtypes."""

from __future__ import annotations

from typing import Any

import laws
import numpy as np
import pytest
from samples import Entry, Sample, load_all

import functrace
from functrace.core.lowering import Branches, Host, Nested, Scan, While
from functrace.core.trace import PRIMITIVES, Primitive

SAMPLES = load_all()
NAMES = sorted(PRIMITIVES)
CASES = [
    pytest.param(PRIMITIVES[name], entry, dtype, id=f"{name}-{dtype.name}")
    for name in NAMES
    for entry in SAMPLES.get(name, ())
    for dtype in entry.dtypes
]
"""Every primitive with every dtype that it has samples for."""

every_case = pytest.mark.parametrize(("primitive", "entry", "dtype"), CASES)


def holds_jaxpr(primitive: Primitive) -> bool:
    """Tell whether it is one of control's, whose laws are those of the programs they hold.

    So it is with those that call Python.
    """
    return isinstance(primitive.lowering, (Branches, Host, Nested, Scan, While))


@pytest.mark.parametrize("name", NAMES)
def test_has_samples_and_rules(name: str) -> None:
    primitive = PRIMITIVES[name]
    assert primitive.missing_rules() == []
    if not holds_jaxpr(primitive):
        assert name in SAMPLES, f"no sample of {name} in tests/samples"


def test_samples_are_of_primitives() -> None:
    assert set(SAMPLES) <= set(NAMES)


@every_case
def test_impl(primitive: Primitive, entry: Entry, dtype: Any) -> None:
    made = entry.samples(dtype)
    assert made, f"no sample of {primitive} for {dtype}"
    for sample in made:
        laws.law_impl(primitive, sample, entry.reference)


@every_case
def test_type(primitive: Primitive, entry: Entry, dtype: Any) -> None:
    for sample in entry.samples(dtype):
        laws.law_type(primitive, sample)


@every_case
def test_staging(primitive: Primitive, entry: Entry, dtype: Any) -> None:
    for sample in entry.samples(dtype):
        laws.law_staging(primitive, sample)


@every_case
def test_derivative(primitive: Primitive, entry: Entry, dtype: Any) -> None:
    for sample in entry.samples(dtype):
        if primitive.not_differentiable is not None:
            laws.law_not_differentiable(primitive, sample)
            continue
        laws.law_jvp(primitive, sample)
        laws.law_staged_jvp(primitive, sample)
        laws.law_adjoint(primitive, sample)
        if entry.analytic:
            laws.law_complex_step(primitive, sample)


@every_case
def test_vmap(primitive: Primitive, entry: Entry, dtype: Any) -> None:
    for sample in entry.samples(dtype):
        if sample.batch:
            laws.law_vmap(primitive, sample)


@every_case
def test_jit(primitive: Primitive, entry: Entry, dtype: Any) -> None:
    jit = functrace.jit
    made = [s for s in entry.samples(dtype) if s.jit]
    largest = max(made, key=_rank, default=None)
    for sample in made:
        laws.law_jit(jit, primitive, sample, layouts=sample is largest)


def _rank(sample: Sample) -> tuple[int, int]:
    """Order samples by number of axes, then size: the last is tried in every memory layout."""
    shapes = [np.shape(a) for a in sample.args] or [()]
    return max(map(len, shapes)), max(int(np.prod(s)) for s in shapes)
