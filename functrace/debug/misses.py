"""Say why jitted functions are traced."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from functrace.config import config

__all__ = ["explain_cache_misses"]


@contextlib.contextmanager
def explain_cache_misses(explain: bool = True) -> Iterator[None]:
    """Print, inside a ``with`` block, why each jitted function is traced.

    For a function traced before, the report names the leaves whose shape or dtype changed, and
    the static arguments whose value did. ``config.explain_cache_misses`` does it everywhere.

    Args:
        explain: False turns reports off inside.

    Example:
        >>> import numpy as np
        >>> import functrace as ft
        >>> def double(x):
        ...     return 2 * x
        >>> f = ft.jit(double)
        >>> _ = f(np.ones(3))
        >>> with explain_cache_misses():
        ...     _ = f(np.ones(4))            # doctest: +ELLIPSIS
        functrace traces double (...) again; unlike the most similar of 1:
          argument 0 was f64[3] and is f64[4]
    """
    with config.override(explain_cache_misses=explain):
        yield
