"""check_p: a condition that must hold, tested inside kernels; when it fails, the program raises.

It is element-wise: in a kernel it is a branch that is never taken, beside the arithmetic it guards.
The values a message shows travel in the error cell, as 64-bit words.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functrace.core.aval import ShapedArray, shape_of
from functrace.core.lowering import Elementwise
from functrace.core.trace import Primitive
from functrace.errors import CheckError
from functrace.ops.broadcasting import broadcast_in_dim
from functrace.source_info import SourceInfo

__all__ = ["MOST_VALUES", "Failure", "check_p"]

MOST_VALUES = 7
"""So many values fit the error cell."""

_WORD = np.dtype(np.int64)
_FLOAT = np.dtype(np.float64)


class Failure:
    """What is raised when a check fails: a message with fields, and where the check stands.

    ``fields`` has the name of each value's field, or its number, and the value's dtype.
    """

    def __init__(
        self,
        message: str,
        fields: Sequence[tuple[int | str, np.dtype[Any]]],
        source: SourceInfo | None,
        known: Mapping[int | str, Any] | None = None,
        error: type[Exception] = CheckError,
    ) -> None:
        self.message, self.fields = message, tuple(fields)
        self.source, self.known, self.error = source, known or {}, error

    def of_values(self, values: Sequence[Any]) -> Exception:
        """Return the exception for the values that were wrong."""
        placed = {**self.known, **dict(zip((name for name, _ in self.fields), values))}
        args = [placed[i] for i in range(len(placed)) if i in placed]
        named = {k: v for k, v in placed.items() if isinstance(k, str)}
        error = self.error(self.message.format(*args, **named))
        if self.source is not None:
            error.add_note(f"checked at {self.source}")
        return error

    def of_words(self, words: Sequence[int]) -> Exception:
        """Return the exception for the words a kernel left in the error cell."""
        return self.of_values([_value(w, d) for w, (_, d) in zip(words, self.fields)])

    def __repr__(self) -> str:
        return repr(self.message)


def _value(word: int, dtype: np.dtype[Any]) -> Any:
    bits = np.int64(word)
    return (bits.view(_FLOAT) if dtype.kind == "f" else bits).astype(dtype)


check_p = Primitive(
    "check", elementwise=True, not_differentiable="it has no derivative", effect=True
)


@check_p.def_impl
def _check_impl(pred: Any, *values: Any, failure: Failure) -> Any:
    if np.all(pred):
        return pred
    wrong = np.argmin(pred)
    shape = np.shape(pred)
    raise failure.of_values([np.broadcast_to(v, shape).reshape(-1)[wrong] for v in values])


@check_p.def_abstract_eval
def _check_type(pred: ShapedArray, *values: ShapedArray, failure: Failure) -> ShapedArray:
    if any(v.shape not in ((), pred.shape) for v in values):
        raise TypeError("check: values have the condition's shape, or none")
    return pred.strong()


@check_p.def_batching
def _check_batching(
    size: int, args: Sequence[Any], dims: Sequence[int | None], *, failure: Failure
) -> tuple[Any, int | None]:
    pred, *values = args
    wide = next((v.shape for v in values if shape_of(v)), ())
    if wide and not shape_of(pred):
        pred = broadcast_in_dim(pred, wide, ())  # one condition, with the values of each lane
    return check_p.bind(pred, *values, failure=failure), next(d for d in dims if d is not None)


def _check_scalar(b: Any, pred: Any, *values: Any, failure: Failure) -> Any:
    b.fail(b.not_(pred), "check", *(_word(b, v) for v in values))
    return pred


def _word(b: Any, value: Any) -> Any:
    if value.dtype.kind == "f":
        return b.bitcast(b.cast(value, _FLOAT), _WORD)
    return b.cast(value, _WORD)


check_p.def_lowering(Elementwise(_check_scalar))
