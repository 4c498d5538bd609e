"""Samples of control's primitives that hold no jaxpr and call no Python."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from functrace.control.host.checks import Failure
from samples import Sample, normal, samples

Rng = np.random.Generator
DType = np.dtype[Any]


@samples("name", dtypes="bifc", reference=lambda x, name: x)
def _name(rng: Rng, dtype: DType) -> Iterator[Sample]:
    for shape in ((), (3,), (0,), (2, 3)):
        yield Sample((normal(rng, dtype, shape),), {"name": "hidden"})


@samples("saved", dtypes="bifc", reference=lambda x, site: x)
def _saved(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((normal(rng, dtype, (2, 3)),), {"site": 0})


@samples("optimization_barrier", dtypes="bifc", reference=lambda *xs: xs)
def _barrier(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((normal(rng, dtype, (3,)),))
    yield Sample((normal(rng, dtype, (2, 3)), normal(rng, dtype)))


@samples("check", dtypes="b", reference=lambda pred, *values, failure: pred)
def _check(rng: Rng, dtype: DType) -> Iterator[Sample]:
    """Conditions that hold; those that don't are in test_callbacks."""
    for shape in ((), (5,), (0,), (2, 3)):
        holds = np.ones(shape, bool)[()]
        values = (normal(rng, np.dtype("f8"), shape), normal(rng, np.dtype("i4")))
        failure = Failure("{x} {y}", [("x", values[0].dtype), ("y", values[1].dtype)], None)
        lanes = [(holds, *values)] * 2
        yield Sample((holds, *values), {"failure": failure}, lanes=lanes)
        yield Sample((holds,), {"failure": Failure("text", (), None)}, lanes=[(holds,)] * 2)
