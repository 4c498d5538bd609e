"""Whether a format string and its values fit: known when a function is traced."""

from __future__ import annotations

import string
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["check_fields"]


def check_fields(what: str, fmt: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Raise unless every field has a value and every value a field."""
    if not isinstance(fmt, str):
        raise TypeError(f"{what} takes a format string; it was given {fmt!r}.")
    used = _Fields()
    used.vformat(fmt, args, kwargs)
    unused = [str(k) for k in (*range(len(args)), *kwargs) if k not in used.seen]
    if unused:
        raise ValueError(f"{what}: the format string {fmt!r} has no field for {', '.join(unused)}.")


class _Fields(string.Formatter):
    """Looks up the fields, without formatting."""

    def __init__(self) -> None:
        self.seen: set[int | str] = set()

    def get_value(self, key: int | str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.seen.add(key)
        return super().get_value(key, args, kwargs)

    def format_field(self, value: Any, format_spec: str) -> str:
        return ""

    def convert_field(self, value: Any, conversion: Any) -> Any:
        return value
