"""Write ``golden.npz``: what JAX draws from twenty keys, for every function.

Run it where JAX 0.10.2 is installed, in this folder::

    python make_golden.py
"""

from __future__ import annotations

from pathlib import Path

import jax
import numpy as np
from draws import SEEDS, cases

jax.config.update("jax_enable_x64", True)
jax.config.update("jax_threefry_partitionable", True)

keys = [jax.random.PRNGKey(seed) for seed in SEEDS]
golden = {
    name: np.stack([np.asarray(draw(jax.random, key, dtype)) for key in keys])
    for name, draw, dtype, _ in cases()
}
np.savez_compressed(Path(__file__).with_name("golden.npz"), **golden)  # type: ignore[arg-type]
print(f"JAX {jax.__version__}: {len(golden)} functions and dtypes, {len(keys)} keys")
