"""Matrix products over strided reads: what BLAS can take as it is, and what must be copied first.

The axes of an operand fall into batch, kept and contracted ones. BLAS takes an operand when each of
the three collapses to one axis, and the kept or the contracted one has stride 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from functrace.compiler.plan import Read
from functrace.core.aval import ShapedArray
from functrace.core.lowering import Library

__all__ = ["Matrices", "Product", "batched_matrices", "canonical_order", "product_space"]

Axes = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """Which axes of two operands are batch axes, which are kept and which are contracted.

    The result has the batch axes, what is left of the first operand, what is left of the second.
    """

    lhs: tuple[Axes, Axes, Axes]
    rhs: tuple[Axes, Axes, Axes]

    @classmethod
    def of(cls, lowering: Library, avals_in: Sequence[ShapedArray], params: Any) -> Product:
        """Return the product that a library rule describes."""
        p = lowering.rule(avals_in, **params)
        return cls(
            (p.lhs_batch, p.lhs_kept, p.lhs_contracted), (p.rhs_batch, p.rhs_kept, p.rhs_contracted)
        )

    def sizes(self, lhs: Read, rhs: Read) -> tuple[int, int, int, int]:
        """Return batch, m, n, k."""
        batch, kept, contracted = self.lhs
        columns = self.rhs[1]
        return (
            math.prod(lhs.shape[i] for i in batch),
            math.prod(lhs.shape[i] for i in kept),
            math.prod(rhs.shape[i] for i in columns),
            math.prod(lhs.shape[i] for i in contracted),
        )


@dataclass(frozen=True, slots=True)
class Matrices:
    """A batch of matrices in memory: kept axis by contracted axis, one of them of stride 1.

    Attributes:
        offset: the first element.
        batch_stride: from one matrix to the next.
        stride: from one line to the next.
        kept_first: whether the lines run along the contracted axis.
    """

    offset: int
    batch_stride: int
    stride: int
    kept_first: bool


def batched_matrices(read: Read, axes: tuple[Axes, Axes, Axes]) -> Matrices | None:
    """Return how BLAS can see an operand, or None when it must be copied first."""
    if 0 in read.shape:
        return Matrices(0, 0, 1, True)
    merged = [_collapse(read, group) for group in axes]
    if None in merged:
        return None
    (_, batch), (m, kept), (k, contracted) = (x for x in merged if x is not None)
    if k == 1 or contracted == 1:
        stride = k if m == 1 else kept
        if (k == 1 or contracted == 1) and stride >= k:
            return Matrices(read.offset, batch, stride, True)
    if m == 1 or kept == 1:
        stride = m if k == 1 else contracted
        if stride >= m:
            return Matrices(read.offset, batch, stride, False)
    return None


def _collapse(read: Read, axes: Sequence[int]) -> tuple[int, int] | None:
    """Return extent and stride of some axes as one, in their order."""
    extent, stride = 1, 0
    for i in reversed(axes):
        n = read.shape[i]
        if n == 1:
            continue
        if extent == 1:
            extent, stride = n, read.strides[i]
        elif read.strides[i] == stride * extent:
            extent *= n
        else:
            return None
    return extent, stride


def canonical_order(axes: tuple[Axes, Axes, Axes]) -> Axes:
    """Return the order of axes in which a copied operand suits BLAS."""
    batch, kept, contracted = axes
    return (*batch, *kept, *contracted)


def product_space(product: Product, lhs: Read, rhs: Read) -> tuple[tuple[int, ...], list[Read]]:
    """Return the space of a product, contracted axes last, and both operands read over it."""
    batch, kept, contracted = product.lhs
    order = [(lhs, i) for i in (*batch, *kept)]
    order += [(rhs, i) for i in product.rhs[1]]
    order += [(lhs, i) for i in contracted]
    shape = tuple(x.shape[i] for x, i in order)
    wide = []
    for number, (read, axes) in enumerate(((lhs, product.lhs), (rhs, product.rhs))):
        own_batch, own_kept, own_contracted = axes
        first, last = len(own_batch), len(shape) - len(own_contracted)
        strides = [0] * len(shape)
        at = last - len(own_kept) if number else first
        places = [*range(first), *range(at, at + len(own_kept)), *range(last, len(shape))]
        for place, i in zip(places, (*own_batch, *own_kept, *own_contracted)):
            strides[place] = read.strides[i]
        wide.append(Read(read.array, shape, tuple(strides), read.offset))
    return shape, wide
