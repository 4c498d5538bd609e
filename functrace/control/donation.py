"""Donated arguments: their arrays are overwritten and returned as the results of their type."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray

__all__ = ["give_back", "match_donated"]


def match_donated(
    donated: Sequence[bool], in_avals: Sequence[ShapedArray], out_avals: Sequence[ShapedArray]
) -> list[tuple[int, int]]:
    """Return which donated leaf becomes which result: pairs of positions, of equal types."""
    free = [i for i, d in enumerate(donated) if d and in_avals[i].ndim]
    pairs = []
    for out, aval in enumerate(out_avals):
        for leaf in free:
            if aval.same_type(in_avals[leaf]):
                pairs.append((leaf, out))
                free.remove(leaf)
                break
    return pairs


def give_back(pairs: Sequence[tuple[Any, int]], outs: list[Any]) -> None:
    """Move results into donated arrays; what can't be written, or is given twice, is left."""
    seen = set()
    for array, i in pairs:
        if type(array) is np.ndarray and array.flags.writeable and id(array) not in seen:
            seen.add(id(array))
            np.copyto(array, outs[i])
            outs[i] = array
