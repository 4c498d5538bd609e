"""How many windows there are: arithmetic of sizes, strides, padding and dilations."""

from __future__ import annotations

import math
from collections.abc import Sequence

__all__ = ["Padding", "Sizes", "dilated", "out_space", "size_of", "window_places"]

Sizes = tuple[int, ...]
Padding = tuple[tuple[int, int], ...]


def dilated(n: int, dilation: int) -> int:
    """Return the size of an axis whose elements are put ``dilation`` apart."""
    return n and (n - 1) * dilation + 1


def window_places(n: int, size: int, stride: int, lo: int, hi: int, base: int, step: int) -> int:
    """Return how many windows fit on one padded, dilated axis."""
    room = dilated(n, base) + lo + hi - dilated(size, step)
    return max(room // stride + 1, 0)


def out_space(
    space: Sizes, window: Sizes, strides: Sizes, padding: Padding, base: Sizes, step: Sizes
) -> Sizes:
    """Return how many windows fit on each axis."""
    lows, highs = [lo for lo, _ in padding], [hi for _, hi in padding]
    return tuple(map(window_places, space, window, strides, lows, highs, base, step))


def size_of(shape: Sequence[int]) -> int:
    """Return how many elements a shape has."""
    return math.prod(shape)
