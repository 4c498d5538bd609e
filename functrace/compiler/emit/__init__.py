"""The printers of the kernel IR: LLVM text, Numba source, and modules of ejected programs."""

import importlib
from typing import Any


def __getattr__(name: str) -> Any:
    if name != "eject":  # loaded later, as in the package above
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return importlib.import_module(f"{__name__}.{name}")
