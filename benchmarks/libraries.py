"""The contenders: each library's array namespace, transformations and ways in and out."""

from __future__ import annotations

import importlib
import importlib.util
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


def leaves(tree: Any) -> Iterator[Any]:
    """The arrays of nested tuples, lists and dictionaries, in order (keys sorted)."""
    if isinstance(tree, dict):
        for key in sorted(tree):
            yield from leaves(tree[key])
    elif isinstance(tree, (list, tuple)):
        for item in tree:
            yield from leaves(item)
    elif tree is not None:
        yield tree


def map_leaves(f: Callable[[Any], Any], tree: Any) -> Any:
    """The same structure with ``f`` of each array."""
    if isinstance(tree, dict):
        return {key: map_leaves(f, tree[key]) for key in sorted(tree)}
    if isinstance(tree, (list, tuple)):
        return type(tree)(map_leaves(f, item) for item in tree)
    return f(tree)


class Library:
    """What NumPy itself does: runs the formula. The others say where they differ."""

    name = "numpy"
    xp: Any = np

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return f

    def grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        raise NotImplementedError(f"{self.name} has no gradients")

    def put(self, args: Any) -> Any:
        """The arguments as the library's own arrays."""
        return args

    def flush_subnormals(self) -> None:
        """Take subnormal numbers for zero, as JAX always does, if the library has the choice."""

    def wait(self, result: Any) -> Any:
        """Return when the result has been computed."""
        return result

    def get(self, result: Any) -> list[np.ndarray[Any, Any]]:
        """The result's arrays as NumPy's."""
        return [np.asarray(leaf) for leaf in leaves(result)]

    def erf(self, x: Any) -> Any:
        return importlib.import_module("scipy.special").erf(x)

    def logsumexp(self, x: Any, axis: int) -> Any:
        return importlib.import_module("scipy.special").logsumexp(x, axis=axis)

    def relu(self, x: Any) -> Any:
        return self.xp.maximum(x, 0.0)

    def sigmoid(self, x: Any) -> Any:
        return 0.5 * (self.xp.tanh(0.5 * x) + 1.0)

    def softmax(self, x: Any) -> Any:
        """Along the last axis."""
        top = self.xp.exp(x - self.xp.max(x, axis=-1, keepdims=True))
        return top / self.xp.sum(top, axis=-1, keepdims=True)

    def log_softmax(self, x: Any) -> Any:
        """Along the last axis."""
        x = x - self.xp.max(x, axis=-1, keepdims=True)
        return x - self.xp.log(self.xp.sum(self.xp.exp(x), axis=-1, keepdims=True))

    def lower_solve(self, a: Any, b: Any) -> Any:
        """Solve a lower triangular system."""
        return importlib.import_module("scipy.linalg").solve_triangular(a, b, lower=True)

    def map(self, f: Callable[..., Any], *trees: Any) -> Any:
        """``f`` of corresponding leaves."""
        first = trees[0]
        if isinstance(first, dict):
            return {key: self.map(f, *(t[key] for t in trees)) for key in first}
        if isinstance(first, (list, tuple)):
            return type(first)(self.map(f, *items) for items in zip(*trees, strict=True))
        return f(*trees)


class _LikeJax(Library):
    """A library with JAX's names, under ``root``."""

    root: Any
    nn: Any
    lax: Any

    def use(self, root: Any) -> None:
        """Take the transformations from a library."""
        self.root, self.xp = root, root.numpy
        names = ("lax", "nn", "random", "vmap", "jvp", "vjp", "jacrev", "jacfwd", "hessian")
        for name in (*names, "value_and_grad"):
            setattr(self, name, getattr(self.root, name))

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return self.root.jit(f)  # type: ignore[no-any-return]

    def grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return self.root.grad(f, argnums)  # type: ignore[no-any-return]

    def erf(self, x: Any) -> Any:
        return self.root.scipy.special.erf(x)

    def relu(self, x: Any) -> Any:
        return self.nn.relu(x)

    def sigmoid(self, x: Any) -> Any:
        return self.nn.sigmoid(x)

    def softmax(self, x: Any) -> Any:
        return self.nn.softmax(x)

    def log_softmax(self, x: Any) -> Any:
        return self.nn.log_softmax(x)

    def lower_solve(self, a: Any, b: Any) -> Any:
        return self.root.scipy.linalg.solve_triangular(a, b, lower=True)

    def conv(self, x: Any, w: Any) -> Any:
        """Images (N, C, H, W) by 3x3 kernels (O, C, 3, 3), same size."""
        return self.lax.conv_general_dilated(x, w, (1, 1), "SAME")

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.nn.logsumexp(x, axis=axis)


class Functrace(_LikeJax):
    name = "functrace"

    def __init__(self) -> None:
        self.use(importlib.import_module("functrace"))

    def flush_subnormals(self) -> None:
        self.root.config.flush_subnormals = True


class Baseline(Functrace):
    """functrace doing what a row is measured by; its result is another one."""

    name = "baseline"


class Jax(_LikeJax):
    name = "jax"

    def __init__(self) -> None:
        jax = importlib.import_module("jax")
        jax.config.update("jax_enable_x64", True)
        self.use(jax)
        self.wait = jax.block_until_ready  # type: ignore[method-assign]

    def put(self, args: Any) -> Any:
        return self.root.block_until_ready(self.root.device_put(args))


class JaxGivenNumpy(Jax):
    """JAX as the user of NumPy calls it: each call takes NumPy's arrays."""

    name = "jax, numpy in"

    def put(self, args: Any) -> Any:
        return args


class Torch(Library):
    """PyTorch, eager: what its users run unless they ask for a compiler."""

    name = "torch"

    def __init__(self) -> None:
        self.torch = importlib.import_module("torch")
        self.xp = self.torch

    def flush_subnormals(self) -> None:
        self.torch.set_flush_denormal(True)

    def grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return lambda *args: self._value_and_grad(f, argnums, args)[1]

    def value_and_grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return lambda *args: self._value_and_grad(f, argnums, args)

    def _value_and_grad(
        self, f: Callable[..., Any], argnums: Any, args: tuple[Any, ...]
    ) -> tuple[Any, Any]:
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums)
        given = list(args)
        for i in chosen:
            given[i] = map_leaves(lambda t: t.detach().requires_grad_(), args[i])
        wanted = [leaf for i in chosen for leaf in leaves(given[i])]
        loss = f(*given)
        found = iter(self.torch.autograd.grad(loss, wanted))
        trees = tuple(map_leaves(lambda _: next(found), args[i]) for i in chosen)
        return loss.detach(), trees[0] if isinstance(argnums, int) else trees

    def put(self, args: Any) -> Any:
        return map_leaves(lambda a: self.torch.tensor(np.array(a)), args)

    def get(self, result: Any) -> list[np.ndarray[Any, Any]]:
        return [leaf.detach().numpy() for leaf in leaves(result)]

    def erf(self, x: Any) -> Any:
        return self.torch.special.erf(x)

    def relu(self, x: Any) -> Any:
        return self.torch.relu(x)

    def sigmoid(self, x: Any) -> Any:
        return self.torch.sigmoid(x)

    def softmax(self, x: Any) -> Any:
        return self.torch.softmax(x, -1)

    def log_softmax(self, x: Any) -> Any:
        return self.torch.log_softmax(x, -1)

    def lower_solve(self, a: Any, b: Any) -> Any:
        return self.torch.linalg.solve_triangular(a, b[:, None], upper=False)[:, 0]

    def conv(self, x: Any, w: Any) -> Any:
        return self.torch.nn.functional.conv2d(x, w, padding=1)

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.torch.logsumexp(x, axis)


class Autograd(Library):
    name = "autograd"

    def __init__(self) -> None:
        self.autograd = importlib.import_module("autograd")
        self.xp = importlib.import_module("autograd.numpy")
        self.special = importlib.import_module("autograd.scipy.special")

    def grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return self.autograd.grad(f, argnums)  # type: ignore[no-any-return]

    def value_and_grad(self, f: Callable[..., Any], argnums: Any = 0) -> Callable[..., Any]:
        return self.autograd.value_and_grad(f, argnums)  # type: ignore[no-any-return]

    def erf(self, x: Any) -> Any:
        return self.special.erf(x)

    def lower_solve(self, a: Any, b: Any) -> Any:
        linalg = importlib.import_module("autograd.scipy.linalg")
        return linalg.solve_triangular(a, b, lower=True)

    def logsumexp(self, x: Any, axis: int) -> Any:
        return self.special.logsumexp(x, axis=axis)


class Numba(Library):
    """Loops written by hand: a case for Numba brings its own function."""

    name = "numba"

    def __init__(self) -> None:
        self.numba = importlib.import_module("numba")

    def jit(self, f: Callable[..., Any]) -> Callable[..., Any]:
        return self.numba.njit(f)  # type: ignore[no-any-return]


class OpenBLAS(Library):
    """The best kernels of the scipy-openblas64 wheel, as benchmarks/openblas.py calls them."""

    name = "openblas"


class C(Library):
    """C written by hand: a case brings its function (``benchmarks/limits.c``)."""

    name = "c"


KINDS: tuple[type[Library], ...] = (
    *(Functrace, Baseline, Jax, JaxGivenNumpy, Torch),
    *(Autograd, Numba, Library, OpenBLAS, C),
)
LIBRARIES = {lib.name: lib for lib in KINDS}
NEEDS = {"openblas": "scipy_openblas64", "jax, numpy in": "jax", "baseline": "functrace"}


def installed(name: str) -> bool:
    """Whether a contender can take part here."""
    if name == "c":
        return any(map(shutil.which, ("cc", "gcc", "clang")))
    return importlib.util.find_spec(NEEDS.get(name, name)) is not None
