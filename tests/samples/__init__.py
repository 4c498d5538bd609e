"""Samples: small operands for each primitive, from which ``test_every_primitive`` makes laws.

    @samples("sin", dtypes="fc", reference=np.sin)
    def _(rng, dtype):
        yield Sample(args=(rng.normal(size=3).astype(dtype),), params={})

The function is called once per dtype; it should yield few and small operands, among them scalars
(NumPy's, never Python numbers), empty arrays, size-1 arrays and special values.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import functrace.ops

DTYPES: dict[str, tuple[str, ...]] = {
    "b": ("bool",),
    "i": ("int64", "int32", "int8"),
    "u": ("uint64", "uint8"),
    "h": ("float16",),
    "f": ("float64", "float32"),
    "c": ("complex128", "complex64"),
}
"""The dtypes that a letter of ``dtypes=`` stands for; float16 is asked for with ``h``."""


@dataclass(frozen=True)
class Sample:
    """One call of a primitive.

    Attributes:
        args: the operands: ndarrays and NumPy scalars.
        params: the parameters.
        tol: multiplies the tolerance of every law (for badly conditioned operands).
        diff: whether derivatives are checked here, or which operands they are checked in; False
            at kinks and poles. Operands that aren't floating or complex are never moved.
        reference: the NumPy function of ``(*args, **params)``; the registration's when None.
        ulp: how far the compiled result may be from the interpreter's, in units in the last place.
        batch: whether the law of vmap is checked here.
        jit: whether the law of jit is checked here (False for dtypes it refuses).
        lanes: operands of the same types for the other lanes of vmap; made up when None.
    """

    args: Sequence[Any]
    params: dict[str, Any] = field(default_factory=dict)
    tol: float = 1.0
    diff: bool | tuple[int, ...] = True
    reference: Callable[..., Any] | None = None
    ulp: int = 4
    batch: bool = True
    jit: bool = True
    lanes: Sequence[Sequence[Any]] | None = None


Maker = Callable[[np.random.Generator, "np.dtype[Any]"], Iterable[Sample]]


@dataclass(frozen=True)
class Entry:
    """What is registered for one primitive."""

    make: Maker
    dtypes: tuple[np.dtype[Any], ...]
    reference: Callable[..., Any] | None
    analytic: bool

    def samples(self, dtype: np.dtype[Any]) -> list[Sample]:
        """Return the samples of one dtype; always the same ones."""
        return list(self.make(np.random.default_rng(0), dtype))


SAMPLES: dict[str, list[Entry]] = {}
"""The entries of each primitive, by name."""


def samples(
    *names: str,
    dtypes: str = "f",
    reference: Callable[..., Any] | None = None,
    analytic: bool = False,
) -> Callable[[Maker], Maker]:
    """Register the samples of primitives; several entries for one primitive add up.

    Args:
        names: the primitives' names.
        dtypes: letters of ``DTYPES``, or names of dtypes separated by blanks.
        reference: the NumPy function that the primitive is.
        analytic: whether its impl takes complex operands and is analytic there, so that the
            derivative can be checked by a complex step too.
    """
    letters = set(dtypes) <= set(DTYPES)
    listed = [n for c in dtypes for n in DTYPES[c]] if letters else dtypes.split()

    def register(make: Maker) -> Maker:
        entry = Entry(make, tuple(np.dtype(n) for n in listed), reference, analytic)
        for name in names:
            SAMPLES.setdefault(name, []).append(entry)
        return make

    return register


def load_all() -> dict[str, list[Entry]]:
    """Import every primitive and every file of samples, and return the registry."""
    for module in pkgutil.iter_modules(functrace.ops.__path__):
        importlib.import_module(f"functrace.ops.{module.name}")
    for module in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{module.name}")
    return SAMPLES


def normal(rng: np.random.Generator, dtype: np.dtype[Any], shape: tuple[int, ...] = ()) -> Any:
    """Return random values of a dtype: of size about 1; small integers; either boolean."""
    if dtype.kind == "b":
        return (rng.random(shape) < 0.5)[()] if shape else np.bool_(rng.random() < 0.5)
    if dtype.kind in "iu":
        low = 0 if dtype.kind == "u" else -9
        return rng.integers(low, 10, size=shape).astype(dtype)[()]
    values = rng.normal(size=shape)
    if dtype.kind == "c":
        values = values + 1j * rng.normal(size=shape)
    return np.asarray(values).astype(dtype)[()]
