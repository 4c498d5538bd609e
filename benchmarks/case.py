"""What a benchmark is: data, and how each library does the same work in its own idiom."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from benchmarks.libraries import Library

Builder = Callable[["Library"], Any]
"""Makes the function to time; it is called with the case's data as the library's own arrays.

A tuple of functions are ways to do the same: the fastest is timed.
"""

Formula = Callable[..., Any]
"""``formula(lib, *arrays)``: the mathematics, in a library's NumPy-like namespace ``lib.xp``."""

BOTH = ("float32", "float64")
THOUSAND, HUNDRED_THOUSAND, TEN_MILLION = 10**3, 10**5, 10**7
SIZES = (THOUSAND, HUNDRED_THOUSAND, TEN_MILLION)


class Goal(NamedTuple):
    """The largest ratio ours / theirs wanted: as the geometric mean, and for any one case."""

    mean: float | None
    worst: float | None


@dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        name: what the row is called.
        data: ``data(rng, size)`` gives the arguments; real arrays are cast to each dtype.
        builders: for each library, how it is done there.
        sizes: what ``data`` is called with; a row each.
        dtypes: a row each.
        tolerance: the largest error, relative to the largest value of the reference, by dtype.
        wait_for_each: wait for each call's result, rather than for the last of a sample.
        checks: how many calls in a row are checked: more than one where calls keep a state.
        reference: the library whose float64 result is right; by default NumPy's, or JAX's.
    """

    name: str
    data: Callable[[np.random.Generator, int], tuple[Any, ...]]
    builders: Mapping[str, Builder]
    sizes: Sequence[int] = SIZES
    dtypes: Sequence[str] = BOTH
    tolerance: Mapping[str, float] = field(
        default_factory=lambda: {"float32": 1e-4, "float64": 1e-9}
    )
    checks: int = 1
    wait_for_each: bool = True
    reference: str = ""


def value(formula: Formula, *libraries: str) -> dict[str, Builder]:
    """The formula itself, compiled where the library compiles."""

    def build(lib: Library) -> Callable[..., Any]:
        return lib.jit(partial(formula, lib))

    return dict.fromkeys(libraries or ("functrace", "jax", "torch", "numpy"), build)


def gradient(formula: Formula, argnums: Any = 0, *libraries: str) -> dict[str, Builder]:
    """The gradient of a scalar formula, compiled where the library compiles."""

    def build(lib: Library) -> Callable[..., Any]:
        return lib.jit(lib.grad(partial(formula, lib), argnums))

    return dict.fromkeys(libraries or ("functrace", "jax", "torch", "autograd"), build)


def total(formula: Formula) -> Formula:
    """The sum of a formula's result: what is differentiated to get element-wise derivatives."""
    return lambda lib, *args: lib.xp.sum(formula(lib, *args))


def normal(*shape_of: Callable[[int], tuple[int, ...]]) -> Callable[..., tuple[Any, ...]]:
    """Data of standard normal numbers: an array for each function of the size given."""
    shapes = shape_of or (lambda n: (n,),)
    return lambda rng, n: tuple(rng.standard_normal(shape(n)) for shape in shapes)


def flat(n: int) -> tuple[int, ...]:
    return (n,)


def cast(tree: Any, dtype: str) -> Any:
    """Data with its real arrays in ``dtype``, after rounding to float32: same numbers for both."""
    if isinstance(tree, dict):
        return {key: cast(item, dtype) for key, item in tree.items()}
    if isinstance(tree, (list, tuple)):
        return type(tree)(cast(item, dtype) for item in tree)
    array = np.asarray(tree)
    if array.dtype.kind == "f":
        return np.array(array, np.float32).astype(dtype, copy=False)
    return array
