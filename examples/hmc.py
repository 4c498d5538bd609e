"""Sample a posterior by Hamiltonian Monte Carlo: eight schools, everything in one ``jit``.

Eight schools tried a coaching programme; each reports an effect and its standard error (Rubin,
1981). The model says that the true effects are themselves spread about a common mean:

    effect_i ~ N(theta_i, error_i)      theta_i = mu + tau z_i,  z_i ~ N(0, 1)

HMC (Duane et al., 1987; Neal, 2011) moves through the ten unknowns along the gradient of the
log-density. The leapfrog steps are a ``fori_loop``, the samples a ``scan``, the random numbers come
from keys, and the whole chain is one compiled call.

Shown here: ``grad`` inside loops inside ``jit``, ``functrace.random``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import functrace as ft
from functrace import lax, random

EFFECT = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
ERROR = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def log_density(q: np.ndarray) -> Any:
    """Return the log-density of ``(mu, log tau, z)``, up to a constant."""
    mu, log_tau, z = q[0], q[1], q[2:]
    tau = np.exp(log_tau)
    misfit = (EFFECT - mu - tau * z) / ERROR
    # Priors: mu ~ N(0, 5), tau ~ half-Cauchy(5), and the volume of log tau.
    prior = -0.5 * (mu / 5.0) ** 2 - np.log(1.0 + (tau / 5.0) ** 2) + log_tau
    return prior - 0.5 * np.sum(z * z) - 0.5 * np.sum(misfit * misfit)


def sample(key: Any, q: np.ndarray, samples: int, leaps: int = 20, size: float = 0.2) -> Any:
    """Return a chain of samples, and how often a proposal was taken."""
    slope = ft.grad(log_density)

    def leap(_: Any, state: tuple[Any, Any]) -> tuple[Any, Any]:
        q, p = state
        q = q + size * p
        return q, p + size * slope(q)

    def one(q: Any, key: Any) -> tuple[Any, tuple[Any, Any]]:
        for_momentum, for_choice = random.split(key)
        p = random.normal(for_momentum, q.shape)
        # Half a kick at both ends makes the whole reversible.
        end, momentum = lax.fori_loop(0, leaps, leap, (q, p + 0.5 * size * slope(q)))
        momentum = momentum - 0.5 * size * slope(end)
        gain = log_density(end) - log_density(q)
        gain = gain + 0.5 * (np.sum(p * p) - np.sum(momentum * momentum))
        taken = np.log(random.uniform(for_choice)) < gain
        q = np.where(taken, end, q)
        return q, (q, taken)

    _, (chain, taken) = lax.scan(one, q, random.split(key, samples))
    return chain, np.mean(taken)


def main(samples: int = 20_000, seed: int = 0) -> dict[str, Any]:
    run = ft.jit(sample, static_argnums=2)
    chain, taken = run(random.key(seed), np.zeros(10), samples)
    chain = chain[samples // 10 :]
    mu, tau = chain[:, 0], np.exp(chain[:, 1])
    print(f"{samples} samples, {taken:.0%} of the proposals taken")
    print(f"mean effect {mu.mean():.2f} +- {mu.std():.2f}, spread of schools {tau.mean():.2f}")
    return {
        "mu": float(mu.mean()),
        "mu_std": float(mu.std()),
        "tau": float(tau.mean()),
        "taken": taken,
    }


if __name__ == "__main__":
    main()
