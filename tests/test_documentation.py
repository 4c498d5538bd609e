"""The documents run: doctests of every module, and the code of README and CONTRIBUTING."""

from __future__ import annotations

import doctest
import importlib
import pkgutil
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import functrace
from functrace.core.trace import PRIMITIVES
from functrace.test_util import check_grads

ROOT = Path(__file__).parent.parent
MODULES = sorted(m.name for m in pkgutil.walk_packages(functrace.__path__, "functrace."))


@pytest.mark.parametrize("name", ["functrace", *MODULES])
def test_doctests(name: str) -> None:
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
    assert result.failed == 0


def code_blocks(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


@pytest.mark.parametrize("i", range(len(code_blocks("README.md"))))
def test_readme_code_runs(i: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Blocks run in order in one namespace, each after those before it; comments tell prints."""
    namespace: dict[str, Any] = {}
    for block in code_blocks("README.md")[: i + 1]:
        if ">>>" in block:
            parser = doctest.DocTestParser()
            test = parser.get_doctest(block, namespace, "README", "README.md", 0)
            runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE)
            runner.run(test, clear_globs=False)
            assert runner.failures == 0
            namespace.update(test.globs)
        else:
            capsys.readouterr()
            exec(compile(block, "README.md", "exec"), namespace)
            for line in capsys.readouterr().out.splitlines():
                assert f"# {line}" in block


def test_adding_a_primitive() -> None:
    (block,) = code_blocks("CONTRIBUTING.md")
    namespace: dict[str, Any] = {}
    try:
        exec(compile(block, "CONTRIBUTING.md", "exec"), namespace)
        softsign = namespace["softsign"]
        assert namespace["softsign_p"].missing_rules() == []
        x = np.array([-2.0, 0.5, 3.0])
        check_grads(softsign, (x,), order=2)
        np.testing.assert_allclose(functrace.jit(softsign)(x), x / (1 + np.abs(x)))
        np.testing.assert_allclose(functrace.vmap(softsign)(x), softsign(x))
    finally:
        PRIMITIVES.pop("softsign", None)


def named_files(document: str) -> list[str]:
    """The files and folders a document names in backticks, with ``{a,b}`` written out."""
    text = (ROOT / document).read_text()
    found = []
    for line in text.splitlines():
        folder = ""
        for name in re.findall(r"`([\w/{},.-]+)`", line):
            if name.endswith(".py") and "/" not in name and folder:
                name = folder + name
            if re.match(r"(functrace|tests|examples|benchmarks|\.ci)/", name):
                folder = name[: name.rindex("/") + 1]
                inside = re.search(r"\{(.*)\}", name)
                parts = inside.group(1).split(",") if inside else [""]
                found += [re.sub(r"\{.*\}", part, name) for part in parts]
    return found


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md"])
def test_named_files_exist(document: str) -> None:
    missing = [name for name in named_files(document) if not (ROOT / name).exists()]
    assert not missing
