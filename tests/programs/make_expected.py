"""Compute ``expected.json``: what the programs here return under the real JAX, in float64.

Run ``python tests/programs/make_expected.py`` with JAX installed. Each program is run from its own
source with ``functrace`` replaced by ``jax``; nothing else changes. The tests need only the file.
"""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

HERE = Path(__file__).parent
EXPECTED = HERE / "expected.json"
PROGRAMS = sorted(path.stem for path in HERE.glob("*.py") if path.name != "make_expected.py")


def load(name: str, library: str = "functrace") -> ModuleType:
    """Run the program ``name`` as a module, with ``library`` in the place of functrace."""
    path = HERE / f"{name}.py"
    source = path.read_text(encoding="utf-8").replace("functrace", library)
    module = ModuleType(f"program_{name}_{library}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses look their module up
    exec(compile(source, str(path), "exec"), module.__dict__)
    return module


def encode(value: Any) -> Any:
    """``value`` as JSON: arrays keep shape and dtype, complex numbers become pairs."""
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, (str, bool)) or value is None:
        return value
    array = np.asarray(value)
    if array.dtype == object:
        raise TypeError(f"a program returned a {type(value).__name__}")
    flat = array.ravel()
    if np.iscomplexobj(flat):
        data = [[float(z.real), float(z.imag)] for z in flat]
    else:
        data = flat.tolist()
    return {"dtype": str(array.dtype), "shape": list(array.shape), "data": data}


def one_line_a_result(made_with: str, results: dict[str, dict[str, Any]]) -> str:
    """The file's text: a change of one result is a change of one line."""
    programs = []
    for program, values in results.items():
        lines = ",\n".join(f"  {json.dumps(k)}: {json.dumps(v)}" for k, v in values.items())
        programs.append(f" {json.dumps(program)}: {{\n{lines}\n }}")
    joined = ",\n".join(programs)
    return f'{{"made_with": {json.dumps(made_with)}, "programs": {{\n{joined}\n}}}}\n'


def main() -> int:
    if importlib.util.find_spec("jax") is None:
        print("skipped: the expected values come from JAX, which is not installed here")
        return 0
    import jax

    jax.config.update("jax_enable_x64", True)
    results = {name: encode(load(name, "jax").main()) for name in PROGRAMS}
    EXPECTED.write_text(one_line_a_result(f"jax {jax.__version__}", results), encoding="utf-8")
    print(f"{EXPECTED.name}: {len(results)} programs, {sum(map(len, results.values()))} results")
    return 0


if __name__ == "__main__":
    sys.exit(main())
