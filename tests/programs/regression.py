"""Uses: linear regression by gradient descent, logistic and softmax regression, Newton's method."""

from __future__ import annotations

import functrace as jax
import functrace.numpy as jnp

X = jnp.array([[0.52, 1.12, 0.77], [0.88, -1.08, 0.15], [0.52, 0.06, -1.30], [0.74, -2.49, 1.39]])
Y = jnp.array([1.7, 2.1, -0.4, 4.2])
LABELS = jnp.array([True, True, False, True])
CLASSES = jnp.array([0, 2, 1, 2])


def linear_loss(params, x, y):
    w, b = params
    return jnp.mean((x @ w + b - y) ** 2)


def sigmoid(z):
    return 0.5 * (jnp.tanh(z / 2.0) + 1.0)


def logistic_loss(w, x, labels):
    p = sigmoid(x @ w)
    return -jnp.sum(jnp.log(jnp.where(labels, p, 1.0 - p))) + 0.1 * jnp.sum(w**2)


def softmax_nll(w, x, classes):
    z = x @ w
    z = z - jnp.max(z, axis=1, keepdims=True)
    log_p = z - jnp.log(jnp.sum(jnp.exp(z), axis=1, keepdims=True))
    picked = jnp.take_along_axis(log_p, classes[:, None], axis=1)
    return -jnp.mean(picked) + 0.01 * jnp.sum(w * w)


@jax.jit
def descend(params, x, y, rate):
    loss, grads = jax.value_and_grad(linear_loss)(params, x, y)
    return loss, jax.tree.map(lambda p, g: p - rate * g, params, grads)


def main():
    out = {}
    params = (jnp.zeros(3), jnp.array(0.0))
    losses = []
    for _ in range(50):
        loss, params = descend(params, X, Y, 0.1)
        losses.append(loss)
    out["losses"], out["params"] = losses[::10], params

    w = jnp.array([0.3, -0.2, 0.1])
    out["logistic"] = jax.value_and_grad(logistic_loss)(w, X, LABELS)
    gradient, curvature = jax.grad(logistic_loss), jax.hessian(logistic_loss)
    out["curvature"] = curvature(w, X, LABELS)
    for _ in range(6):
        g, h = gradient(w, X, LABELS), curvature(w, X, LABELS)
        # Cramer's rule: three unknowns need no library.
        det = jnp.dot(h[0], jnp.cross(h[1], h[2]))
        inverse = jnp.stack([jnp.cross(h[1], h[2]), jnp.cross(h[2], h[0]), jnp.cross(h[0], h[1])])
        w = w - (g @ inverse) / det
    out["newton"] = w
    out["newton_gradient_is_zero"] = bool(jnp.max(jnp.abs(gradient(w, X, LABELS))) < 1e-10)

    w3 = jnp.array([[0.1, 0.0, -0.2], [0.4, 0.3, 0.0], [-0.1, 0.2, 0.5]])
    out["softmax"] = jax.value_and_grad(softmax_nll)(w3, X, CLASSES)
    step = jax.jit(lambda w: w - 0.5 * jax.grad(softmax_nll)(w, X, CLASSES))
    for _ in range(30):
        w3 = step(w3)
    out["softmax_fitted"] = w3
    out["predicted"] = jnp.argmax(X @ w3, axis=1)
    return out


TRANSFORMABLE = [
    (lambda w, b: linear_loss((w, b), X, Y), (jnp.array([0.1, 0.2, 0.3]), jnp.array(0.5))),
    (lambda w: logistic_loss(w, X, LABELS), (jnp.array([0.3, -0.2, 0.1]),)),
    (lambda w: softmax_nll(w, X, CLASSES), (jnp.eye(3),)),
]
