"""The house itself: folders are layers, files are short, public names are documented."""

from __future__ import annotations

import ast
import importlib
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import functrace

PACKAGE = Path(functrace.__file__).parent

# Each layer imports only from itself and from the layers above it in this list.
LAYERS = [
    ["errors", "config", "source_info", "dtypes", "tree"],
    ["core"],
    ["ops"],
    ["interpreters"],
    ["compiler"],
    ["control"],
    [
        "ad_checkpoint", "custom_derivatives", "experimental", "api", "caches", "array", "devices",
        "tree_util",
        "numpy", "lax", "scipy", "nn", "random", "test_util", "debug", "__init__",
    ],
]  # fmt: skip
# Inside ops a file uses only files before it: adjoint partners share a file, so this order exists.
OPS_ORDER = [
    "dimension_numbers", "nests", "families", "broadcasting", "creation", "logical", "bitwise",
    "random_bits", "arithmetic", "fused", "exponentials", "powers", "complexes", "rounding",
    "structural", "joining", "transcendental", "special", "reductions", "gather_numpy",
    "indexing", "scatter", "dynamic", "cumulative", "sort_kernels", "radix_order",
    "argsorting", "sorting", "contraction",
    "matrices", "small_matrices", "triangular", "cholesky", "lu", "solve", "qr", "small_steps",
    "small_eigen", "eigen", "small_svd", "svd", "window_sizes", "direct_conv", "conv_products",
    "convolution", "windows", "dispatch", "promotion", "operators",
]  # fmt: skip

MODULES = sorted(PACKAGE.rglob("*.py"))


def layer_of(name: str) -> int:
    for i, names in enumerate(LAYERS):
        if name in names:
            return i
    raise AssertionError(f"functrace/{name} is in no layer of the table")


def own_imports(tree: ast.AST) -> list[tuple[str, int]]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            if node.module == "functrace":
                found += [(f"functrace.{a.name}", node.lineno) for a in node.names]
            elif node.module.startswith("functrace."):
                found.append((node.module, node.lineno))
        elif isinstance(node, ast.Import):
            found += [(a.name, node.lineno) for a in node.names if a.name.startswith("functrace")]
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_to_earlier_layers(path: Path) -> None:
    relative = path.relative_to(PACKAGE)
    me = relative.parts[0].removesuffix(".py")
    for module, line in own_imports(ast.parse(path.read_text())):
        parts = module.split(".")
        if len(parts) < 2:
            continue
        assert layer_of(parts[1]) <= layer_of(me), f"{relative}:{line} imports {module}"
        if me == "ops" and parts[1] == "ops" and len(parts) > 2 and relative.stem != "__init__":
            assert OPS_ORDER.index(parts[2]) < OPS_ORDER.index(relative.stem), (
                f"{relative}:{line} imports {module}, which comes later"
            )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_own_import_hides_in_a_function(path: Path) -> None:
    tree = ast.parse(path.read_text())
    top = {id(n) for n in tree.body}
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)) and id(node) not in top:
            parents = [n for n in tree.body if isinstance(n, ast.If) and node in ast.walk(n)]
            module = getattr(node, "module", None) or node.names[0].name
            assert parents or not str(module).startswith("functrace"), (
                f"{path.name}:{node.lineno} imports {module} inside a function"
            )


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_can_be_read_in_a_sitting(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 600, f"{path.name} is too long"


def test_importing_functrace_imports_no_compiler_library() -> None:
    code = (
        "import sys, functrace; "
        "print([m for m in ('numba', 'llvmlite', 'scipy', 'tqdm') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


PUBLIC = [
    "functrace", "functrace.numpy", "functrace.numpy.linalg", "functrace.lax",
    "functrace.lax.linalg", "functrace.nn", "functrace.nn.initializers", "functrace.random",
    "functrace.scipy.special", "functrace.scipy.linalg", "functrace.scipy.sparse.linalg",
    "functrace.custom_derivatives", "functrace.ad_checkpoint",
    "functrace.control.rules.checkpoint_policies", "functrace.tree",
    "functrace.tree_util", "functrace.test_util", "functrace.errors", "functrace.debug",
]  # fmt: skip


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    names = getattr(module, "__all__", None) or [n for n in vars(module) if not n.startswith("_")]
    for public in names:
        value = getattr(module, public)
        mine = getattr(value, "__module__", "") or ""
        if (inspect.isfunction(value) or inspect.isclass(value)) and mine.startswith("functrace"):
            assert inspect.getdoc(value), f"{name}.{public} has no docstring"


def test_no_marker_of_unfinished_work() -> None:
    for path in MODULES:
        for word in ("TODO", "FIXME", "XXX", "TEMPORARY"):
            assert word not in path.read_text(), f"{path.name} has a {word}"
