"""functrace.random: random numbers from explicit keys, JAX's bits for the same key and dtype.

A key is an array of two uint32. Nothing is global and nothing is changed: a function draws the
same numbers from the same key every time, in any thread, compiled or not. To draw again, ``split``
the key, or ``fold_in`` a number::

    >>> from functrace import random
    >>> key = random.key(0)
    >>> first, second = random.split(key)
    >>> random.normal(first, (2,))
    array([ 1.88002989, -0.48121497])
    >>> random.randint(second, (3,), 0, 10)
    array([8, 2, 3])

The generator is Threefry-2x32, and every number has its own counter, so the functions work the
same under ``jit``, ``vmap`` and in loops. The default dtype is float64 (int64, uint64).

In float32 and float64 the bits are those of JAX 0.10 on a CPU (``jax_threefry_partitionable``, its
default, and ``jax_enable_x64``): where a number goes through a logarithm, a root or the like, that
is computed in the arithmetic of JAX's compiler, operation by operation. Not equal to the last bit
are what factorisations give (``orthogonal``, and ``multivariate_normal`` by ``"eigh"`` and
``"svd"``), and where JAX's own bits depend on the size of the array or on the CPU: ``maxwell`` of
many numbers, ``dirichlet`` of 32 outcomes or more, and gammas on CPUs without AVX-512. Keys are
their data here, so they have an axis that JAX's ``jax.random.key`` hides.
"""

from functrace.random.choosing import categorical, choice, permutation
from functrace.random.continuous import (
    cauchy,
    exponential,
    gumbel,
    laplace,
    logistic,
    pareto,
    rayleigh,
    triangular,
    weibull_min,
)
from functrace.random.counts import binomial, geometric, multinomial, poisson
from functrace.random.gammas import (
    ball,
    beta,
    chisquare,
    dirichlet,
    f,
    gamma,
    generalized_normal,
    loggamma,
    t,
)
from functrace.random.keys import (
    PRNGKey,
    clone,
    fold_in,
    key,
    key_data,
    key_impl,
    split,
    wrap_key_data,
)
from functrace.random.normals import (
    double_sided_maxwell,
    lognormal,
    maxwell,
    normal,
    truncated_normal,
    wald,
)
from functrace.random.uniforms import bernoulli, bits, rademacher, randint, uniform
from functrace.random.vectors import multivariate_normal, orthogonal

__all__ = [
    "PRNGKey",
    "ball",
    "bernoulli",
    "beta",
    "binomial",
    "bits",
    "categorical",
    "cauchy",
    "chisquare",
    "choice",
    "clone",
    "dirichlet",
    "double_sided_maxwell",
    "exponential",
    "f",
    "fold_in",
    "gamma",
    "generalized_normal",
    "geometric",
    "gumbel",
    "key",
    "key_data",
    "key_impl",
    "laplace",
    "loggamma",
    "logistic",
    "lognormal",
    "maxwell",
    "multinomial",
    "multivariate_normal",
    "normal",
    "orthogonal",
    "pareto",
    "permutation",
    "poisson",
    "rademacher",
    "randint",
    "rayleigh",
    "split",
    "t",
    "triangular",
    "truncated_normal",
    "uniform",
    "wald",
    "weibull_min",
    "wrap_key_data",
]
