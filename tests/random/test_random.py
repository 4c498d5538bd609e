"""functrace.random: keys, distributions, derivatives, loops and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import scipy.special
import scipy.stats

import functrace
from functrace import lax, random
from functrace.config import config
from functrace.core.trace import PRIMITIVES
from functrace.errors import DTypeError, ShapeError
from functrace.ops.fused import fma
from functrace.ops.random_bits import threefry2x32
from functrace.random.gamma_slope import gamma_slope

KEY = random.key(7)

# --- the generator -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "counter", "block"),
    [
        (0x00000000_00000000, 0x00000000_00000000, 0x6B200159_99BA4EFE),
        (0xFFFFFFFF_FFFFFFFF, 0xFFFFFFFF_FFFFFFFF, 0x1CB996FC_BB002BE7),
        (0x13198A2E_03707344, 0x243F6A88_85A308D3, 0xC4923A9C_483DF7A0),
    ],
)
def test_known_answers(key: int, counter: int, block: int) -> None:
    """The vectors that the authors of Threefry publish with their library."""
    assert threefry2x32(np.uint64(key), np.uint64(counter)) == block


def test_fma_rounds_once() -> None:
    x = np.array([1 + 2.0**-52, 1 - 2.0**-53, 0.1])
    exact = [2.0**-104, 2.0**-106, 0.0]  # squares minus their rounded squares
    got = fma(x, x, -(x * x))
    assert got[0] == exact[0]
    assert got[1] == exact[1]
    assert got[2] != 0
    np.testing.assert_array_equal(functrace.jit(fma)(x, x, -(x * x)), got)


def test_primitives_refuse_other_dtypes() -> None:
    with pytest.raises(DTypeError, match="they are uint64"):
        functrace.make_jaxpr(threefry2x32)(np.uint32(1), np.uint32(1))
    with pytest.raises(DTypeError, match="float32 and float64"):
        functrace.make_jaxpr(fma)(*[np.float16(1)] * 3)
    with pytest.raises(DTypeError, match="of one size"):
        functrace.make_jaxpr(lambda x: lax.bitcast_convert_type(x, np.int32))(1.0)


# --- keys --------------------------------------------------------------------------------------


def test_keys() -> None:
    np.testing.assert_array_equal(random.key(2**40 + 5), [256, 5])
    np.testing.assert_array_equal(random.key(-1), [2**32 - 1] * 2)
    np.testing.assert_array_equal(random.key(np.int32(-1)), [0, 2**32 - 1])
    np.testing.assert_array_equal(random.key(np.uint64(2**64 - 2)), [2**32 - 1, 2**32 - 2])
    np.testing.assert_array_equal(random.PRNGKey(3), random.key(3, impl="threefry2x32"))
    assert random.split(KEY, (2, 3)).shape == (2, 3, 2)
    np.testing.assert_array_equal(random.split(KEY, 5)[4], random.fold_in(KEY, 4))
    np.testing.assert_array_equal(random.key_data(random.wrap_key_data(KEY)), KEY)
    assert random.key_impl(KEY) == "threefry2x32"
    copy = random.clone(KEY)
    assert copy is not KEY
    np.testing.assert_array_equal(copy, KEY)


def test_keys_of_seeds_and_data_known_at_run_time() -> None:
    seeds = np.arange(-2, 3)
    np.testing.assert_array_equal(
        functrace.vmap(random.key)(seeds), [random.key(int(s)) for s in seeds]
    )
    folded = functrace.jit(random.fold_in)(KEY, 9)
    np.testing.assert_array_equal(folded, random.fold_in(KEY, 9))


@pytest.mark.parametrize(
    ("make", "error", "text"),
    [
        (lambda: random.key(1.5), TypeError, "a seed is one integer"),
        (lambda: random.key(True), TypeError, "a seed is one integer"),
        (lambda: random.key(np.arange(3)), TypeError, r"vmap\(random.key\)"),
        (lambda: random.key(2**70), OverflowError, "too large"),
        (lambda: random.key(0, impl="rbg"), ValueError, "unknown generator 'rbg'"),
        (lambda: random.fold_in(KEY, -1), OverflowError, "out of bounds"),
        (lambda: random.fold_in(KEY, 0.5), TypeError, "it takes one integer"),
        (lambda: random.split(KEY, -1), ShapeError, "can't be negative"),
        (lambda: random.normal(3), DTypeError, r"normal got a key of type int"),
        (lambda: random.normal(np.zeros(2)), DTypeError, r"float64\[2\]"),
        (lambda: random.normal(random.split(KEY)), ShapeError, r"vmap\(lambda key"),
        (lambda: random.normal(KEY, 3), ShapeError, r"shape=\(3,\)"),
        (lambda: random.normal(KEY, (-1,)), ShapeError, "can't be negative"),
        (lambda: random.normal(KEY, (), np.int32), DTypeError, "draws float or complex"),
        (lambda: random.uniform(KEY, (2,), minval=np.zeros(3)), ShapeError, "don't broadcast"),
        (lambda: random.gamma(KEY), TypeError, "missing a required argument: 'a'"),
        (lambda: random.normal(KEY, size=3), TypeError, "unexpected keyword argument 'size'"),
        (lambda: random.normal(KEY, (), shape=()), TypeError, "multiple values"),
        (lambda: random.randint(KEY, (), 0.5, 2), DTypeError, "an end of the range"),
        (lambda: random.bernoulli(KEY, mode="odd"), ValueError, "'high' or 'low'"),
        (lambda: random.gumbel(KEY, mode="odd"), ValueError, "'high' or 'highest'"),
        (lambda: random.choice(KEY, 3, (4,), replace=False), ValueError, "there are too few"),
        (lambda: random.choice(KEY, 0, (4,)), ValueError, "nothing to choose from"),
        (lambda: random.choice(KEY, 3, p=np.ones(2)), ShapeError, "there are 3 elements"),
        (
            lambda: random.categorical(KEY, np.zeros(3), shape=(4,), replace=False),
            ValueError,
            "4 draws without replacement from 3",
        ),
        (lambda: random.dirichlet(KEY, 1.0), ShapeError, "has no axis"),
        (
            lambda: random.multivariate_normal(KEY, np.zeros(3), np.eye(2)),
            ShapeError,
            r"covariance of shape \(2, 2\)",
        ),
        (
            lambda: random.multivariate_normal(KEY, np.zeros(2), np.eye(2), method="qr"),
            ValueError,
            "'cholesky', 'eigh' or 'svd'",
        ),
    ],
)
def test_errors(make: Any, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        make()


# --- distributions -----------------------------------------------------------------------------

_STATS = scipy.stats
DISTRIBUTIONS = {
    "uniform": ((), _STATS.uniform),
    "normal": ((), _STATS.norm),
    "exponential": ((), _STATS.expon),
    "laplace": ((), _STATS.laplace),
    "logistic": ((), _STATS.logistic),
    "cauchy": ((), _STATS.cauchy),
    "gumbel": ((), _STATS.gumbel_r),
    "maxwell": ((), _STATS.maxwell),
    "gamma": ((2.5,), _STATS.gamma(2.5)),
    "loggamma": ((0.3,), _STATS.loggamma(0.3)),
    "beta": ((2.0, 0.5), _STATS.beta(2.0, 0.5)),
    "chisquare": ((3.0,), _STATS.chi2(3.0)),
    "t": ((3.0,), _STATS.t(3.0)),
    "f": ((5.0, 3.0), _STATS.f(5.0, 3.0)),
    "pareto": ((2.0,), _STATS.pareto(2.0)),
    "rayleigh": ((2.0,), _STATS.rayleigh(scale=2.0)),
    "weibull_min": ((2.0, 1.5), _STATS.weibull_min(1.5, scale=2.0)),
    "triangular": ((-1.0, 0.5, 2.0), _STATS.triang(0.5, loc=-1.0, scale=3.0)),
    "truncated_normal": ((-1.0, 2.0), _STATS.truncnorm(-1.0, 2.0)),
    "lognormal": ((0.5,), _STATS.lognorm(0.5)),
    "wald": ((1.5,), _STATS.invgauss(1.5)),
    "generalized_normal": ((1.5,), _STATS.gennorm(1.5)),
}


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distribution(name: str) -> None:
    parameters, distribution = DISTRIBUTIONS[name]
    numbers = getattr(random, name)(KEY, *parameters, shape=(20000,))
    assert scipy.stats.kstest(numbers, distribution.cdf).pvalue > 1e-3


@pytest.mark.parametrize("name", [*DISTRIBUTIONS, "double_sided_maxwell"])
def test_half_precision(name: str) -> None:
    parameters = DISTRIBUTIONS[name][0] if name in DISTRIBUTIONS else (0.0, 1.0)
    shape, dtype = (200,), np.dtype(np.float16)
    half = getattr(random, name)(KEY, *parameters, shape=shape, dtype=dtype)
    assert half.dtype == dtype
    assert half.shape == shape
    assert np.mean(np.isfinite(half)) > 0.99


COUNTS = {
    "poisson": ((4.0,), _STATS.poisson(4.0)),
    "poisson many": ((40.0,), _STATS.poisson(40.0)),
    "binomial": ((12, 0.3), _STATS.binom(12, 0.3)),
    "binomial many": ((200, 0.7), _STATS.binom(200, 0.7)),
    "geometric": ((0.3,), _STATS.geom(0.3)),
}


@pytest.mark.parametrize("name", COUNTS)
def test_distribution_of_counts(name: str) -> None:
    parameters, distribution = COUNTS[name]
    numbers = getattr(random, name.split()[0])(KEY, *parameters, shape=(20000,))
    least, most = int(distribution.ppf(0.001)), int(distribution.ppf(0.999))
    inside = np.arange(least, most + 1)
    seen = np.array([np.sum(numbers == k) for k in inside])
    want = 20000 * distribution.pmf(inside)
    common = want > 5
    chi = np.sum((seen[common] - want[common]) ** 2 / want[common])
    assert scipy.stats.chi2(common.sum()).sf(chi) > 1e-3


def test_permutations_are_permutations() -> None:
    np.testing.assert_array_equal(np.sort(random.permutation(KEY, 1000)), np.arange(1000))
    x = np.arange(12.0).reshape(3, 4)
    rows = random.permutation(KEY, x, axis=1)
    np.testing.assert_array_equal(np.sort(rows, 1), x)
    once = random.choice(KEY, 10, (10,), replace=False, p=np.arange(1.0, 11) / 55)
    np.testing.assert_array_equal(np.sort(once), np.arange(10))


def test_orthogonal_and_ball() -> None:
    q = random.orthogonal(KEY, 3, (4,), np.complex128)
    np.testing.assert_allclose(
        q @ np.conj(np.swapaxes(q, 1, 2)), np.tile(np.eye(3), (4, 1, 1)), atol=1e-14
    )
    points = random.ball(KEY, 3, shape=(1000,))
    radii = np.linalg.norm(points, axis=1)
    assert scipy.stats.kstest(radii**3, "uniform").pvalue > 1e-3


def test_empty_draws() -> None:
    assert random.normal(KEY, (0, 3)).shape == (0, 3)
    assert random.permutation(KEY, 0).shape == (0,)
    assert random.choice(KEY, 0, (0,)).shape == (0,)
    assert random.gamma(KEY, 2.0, (0,)).shape == (0,)
    assert random.split(KEY, 0).shape == (0, 2)


# --- derivatives -------------------------------------------------------------------------------


def test_derivatives_in_parameters() -> None:
    from_zero = random.uniform(KEY, (5,))
    slope = functrace.grad(lambda low: np.sum(random.uniform(KEY, (5,), minval=low)))(0.0)
    np.testing.assert_allclose(slope, np.sum(1 - from_zero))
    z = random.normal(KEY, (5,))
    slope = functrace.grad(lambda s: np.sum(random.lognormal(KEY, s, (5,))))(0.5)
    np.testing.assert_allclose(slope, np.sum(z * np.exp(0.5 * z)))


def test_counts_are_steps() -> None:
    slope = functrace.grad(lambda p: np.sum(random.binomial(KEY, 20.0, p, (5,))))(0.4)
    assert slope == 0


@pytest.mark.parametrize("q", [0.001, 0.1, 0.5, 0.9, 0.999])
def test_gamma_slope(q: float) -> None:
    """It is the derivative of the quantile, which SciPy has."""
    a = np.array([0.1, 0.3, 1.0, 1.7, 3.0, 10.0, 50.0, 1e3, 1e5])
    h = 1e-4 * a
    quantile = scipy.special.gammaincinv
    ends = [quantile(a + k * h, q) for k in (-2, -1, 1, 2)]
    want = (ends[0] - 8 * ends[1] + 8 * ends[2] - ends[3]) / (12 * h)
    got = functrace.vmap(gamma_slope)(a, quantile(a, q))
    np.testing.assert_allclose(got, want, rtol=1e-9)


def test_gamma_has_derivatives() -> None:
    def total(a: Any) -> Any:
        return np.sum(random.gamma(KEY, a, (5,)))

    def log_total(a: Any) -> Any:
        return np.sum(random.loggamma(KEY, a, (5,)))

    x = random.gamma(KEY, 2.5, (5,))
    want = np.sum(functrace.vmap(gamma_slope)(np.full(5, 2.5), x))
    np.testing.assert_allclose(functrace.grad(total)(2.5), want)
    np.testing.assert_allclose(functrace.jit(functrace.grad(total))(2.5), want)
    np.testing.assert_allclose(functrace.jvp(total, (2.5,), (1.0,))[1], want)
    slopes = functrace.vmap(gamma_slope)(np.full(5, 2.5), x) / x
    np.testing.assert_allclose(functrace.grad(log_total)(2.5), np.sum(slopes))
    alpha = np.array([1.0, 2.0, 3.0])
    moved = functrace.jacfwd(lambda a: random.dirichlet(KEY, a))(alpha)
    np.testing.assert_allclose(moved.sum(0), 0, atol=1e-12)  # they stay on the simplex


# --- where they are used -----------------------------------------------------------------------


def walk(key: Any) -> Any:
    def step(state: Any, _: Any) -> Any:
        key, x = state
        key, child = random.split(key)
        x = x + random.normal(child)
        return (key, x), x

    return lax.scan(step, (key, 0.0), None, length=20)[1]


def test_inside_a_scan() -> None:
    key, x, path = KEY, 0.0, []
    for _ in range(20):
        key, child = random.split(key)
        x = x + random.normal(child)
        path.append(x)
    np.testing.assert_array_equal(walk(KEY), path)
    np.testing.assert_array_equal(functrace.jit(walk)(KEY), path)
    keys = random.split(KEY, 3)
    np.testing.assert_array_equal(functrace.vmap(walk)(keys), [walk(k) for k in keys])


def test_without_compiler() -> None:
    """Under ``disable_jit`` everything is NumPy, and the numbers are the same."""
    draws = [
        lambda: random.uniform(KEY, (2, 3), minval=-1.0),
        lambda: random.randint(KEY, (), 0, 10),
        lambda: random.randint(KEY, (), -(2**62), 2**62),
        lambda: random.bits(KEY),
        lambda: random.permutation(KEY, 9),
        lambda: random.categorical(KEY, np.zeros(5), shape=(4,)),
        lambda: random.split(KEY, 3),
        lambda: random.poisson(KEY, 3.0, (4,)),
        lambda: random.normal(KEY, (3,)),
        lambda: random.normal(KEY, (3,), np.float32),
        lambda: random.gumbel(KEY, (3,)),
        lambda: random.truncated_normal(KEY, -1.0, 2.0, (3,)),
        lambda: random.cauchy(KEY, (3,), np.float32),
    ]
    for draw in draws:
        compiled = draw()
        with config.override(disable_jit=True):
            np.testing.assert_array_equal(draw(), compiled)


def test_any_number_of_threads_draws_the_same() -> None:
    many = random.normal(KEY, (300_001,))
    with config.override(threads=1):
        np.testing.assert_array_equal(random.normal(KEY, (300_001,)), many)


def test_primitives_are_few() -> None:
    jaxpr = str(functrace.make_jaxpr(lambda k: random.uniform(k, (4,)))(KEY))
    assert jaxpr.count("threefry2x32 ") == 1
    assert {"threefry2x32", "bitcast_convert_type", "fma"} <= set(PRIMITIVES)
