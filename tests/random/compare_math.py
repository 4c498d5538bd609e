"""Compare the elementary functions of random numbers with JAX's, bit for bit, on many arguments.

Run it where both are installed::

    python compare_math.py

Float32 functions of a uniform number get every argument they can get; the others millions.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

import functrace
from functrace.random import xla_math
from functrace.random.xla_rsqrt import rsqrt

jax.config.update("jax_enable_x64", True)
MANY = 2**22
OURS = {"rsqrt": rsqrt, "lgamma": xla_math.lgamma32}


def uniforms(dtype: str) -> Any:
    """Return all numbers ``random.uniform`` can give in float32, and many in float64."""
    if dtype == "float32":
        return np.arange(2**23, dtype=dtype) / np.float32(2**23)
    return np.random.default_rng(0).random(MANY)


def arguments(dtype: str) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Return functions and what to call them with."""
    rng = np.random.default_rng(1)
    u = uniforms(dtype)
    wide = np.exp(10 * rng.normal(size=MANY)).astype(dtype)
    yield "log", (np.concatenate([u, wide, (1 + rng.normal(size=MANY) / 50).astype(dtype)]),)
    yield "log1p", (np.concatenate([-u, u, wide]),)
    yield "exp", ((30 * rng.normal(size=MANY)).astype(dtype),)
    one = np.dtype(dtype).type(1)
    yield "erf_inv", (np.concatenate([2 * u - one, one - u**4]),)
    yield "erf", ((3 * rng.normal(size=MANY)).astype(dtype),)
    yield "tan", ((u - np.dtype(dtype).type(0.5)) * np.dtype(dtype).type(np.pi),)
    yield "pow", (one - u, np.resize(wide, u.shape))
    if dtype == "float32":
        yield "lgamma", (one / 2 + wide,)
    yield "rsqrt", (np.float32(0.6) + wide if dtype == "float32" else 0.6 + wide,)


def main() -> int:
    """Print how many results differ; return whether any does."""
    different = 0
    for dtype in ("float32", "float64"):
        for name, args in arguments(dtype):
            ours = functrace.jit(OURS.get(name) or getattr(xla_math, name))
            got, want = ours(*args), np.asarray(jax.jit(getattr(jax.lax, name))(*args))
            same = (got == want) | (np.isnan(got) & np.isnan(want))
            print(f"{name:8} {dtype}: {int((~same).sum())} of {same.size} differ", flush=True)
            different += int((~same).sum())
    return different > 0


if __name__ == "__main__":
    sys.exit(main())
