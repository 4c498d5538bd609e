"""Samples of the primitives of checkpointing that hold no jaxpr."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from samples import Sample, normal, samples

Rng = np.random.Generator
DType = np.dtype[Any]


@samples("name", dtypes="bifc", reference=lambda x, name: x)
def _name(rng: Rng, dtype: DType) -> Iterator[Sample]:
    for shape in ((), (3,), (0,), (2, 3)):
        yield Sample((normal(rng, dtype, shape),), {"name": "hidden"})


@samples("optimization_barrier", dtypes="bifc", reference=lambda *xs: xs)
def _barrier(rng: Rng, dtype: DType) -> Iterator[Sample]:
    yield Sample((normal(rng, dtype, (3,)),))
    yield Sample((normal(rng, dtype, (2, 3)), normal(rng, dtype)))
