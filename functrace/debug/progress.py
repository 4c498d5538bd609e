"""Progress bars for compiled loops."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import IO, Any, Protocol

from functrace import lax, tree
from functrace.control.host.callbacks import debug_callback
from functrace.core.aval import shape_of
from functrace.core.trace import Tracer

__all__ = ["progress"]


def progress(
    loop: Callable[..., Any],
    *,
    every: int | None = None,
    desc: str | None = None,
    stream: IO[str] | None = None,
) -> Callable[..., Any]:
    """Return ``lax.scan`` or ``lax.fori_loop`` with a progress bar, also when compiled.

    The bar is tqdm's when that is installed, else a line of text. Python is called once every
    ``every`` steps; the loop is the same otherwise, and so are its derivatives.

    Args:
        loop: ``lax.scan`` or ``lax.fori_loop``.
        every: how many steps there are between two updates; a hundredth of them without it.
        desc: what to write before the bar; the loop's name without it.
        stream: where to write; standard error without it.

    Example:
        >>> import io
        >>> import functrace as ft
        >>> from functrace import lax
        >>> shown = io.StringIO()
        >>> fori_loop = progress(lax.fori_loop, every=5, stream=shown)
        >>> ft.jit(lambda x: fori_loop(0, 10, lambda i, x: x + i, x))(0)
        np.int64(45)
        >>> "10/10" in shown.getvalue()
        True
    """
    if every is not None and every < 1:
        raise ValueError(f"progress: every={every} must be positive.")
    meter = _Meter(desc or str(getattr(loop, "__name__", "loop")), every, stream)
    if loop is lax.scan:
        return meter.scan
    if loop is lax.fori_loop:
        return meter.fori_loop
    raise TypeError(f"progress takes lax.scan or lax.fori_loop, not {loop!r}.")


class _Bar(Protocol):
    """What tqdm's bars and ours have in common."""

    def update(self, n: int) -> Any:
        """Go on by ``n`` steps."""

    def close(self) -> Any:
        """Finish."""


class _TextBar:
    """One line, written again and again."""

    def __init__(self, total: int, desc: str, file: IO[str]) -> None:
        self.total, self.desc, self.file, self.n = total, desc, file, 0

    def update(self, n: int) -> None:
        self.n += n
        percent = 100 * self.n // max(self.total, 1)
        self.file.write(f"\r{self.desc}: {percent:3d}% {self.n}/{self.total}")
        self.file.flush()

    def close(self) -> None:
        self.file.write("\n")


class _Meter:
    """Shows the progress of one loop, run after run."""

    def __init__(self, desc: str, every: int | None, stream: IO[str] | None) -> None:
        self.desc, self.every, self.stream = desc, every, stream
        self.bar: _Bar | None = None
        self.done = 0

    def scan(self, f: Any, init: Any, xs: Any = None, length: Any = None, **options: Any) -> Any:
        """Scan, with progress."""
        leaves = tree.leaves(xs)
        total = shape_of(leaves[0])[0] if leaves else length

        def step(state: Any, x: Any) -> Any:
            i, carry = state
            carry, y = f(carry, x)
            self.tick(i + 1, total)
            return (i + 1, carry), y

        (_, carry), ys = lax.scan(step, (0, init), xs, length, **options)
        return carry, ys

    def fori_loop(
        self, lower: Any, upper: Any, body_fun: Any, init_val: Any, **options: Any
    ) -> Any:
        """Loop, with progress."""

        def body(i: Any, value: Any) -> Any:
            value = body_fun(i, value)
            self.tick(i - lower + 1, upper - lower)
            return value

        return lax.fori_loop(lower, upper, body, init_val, **options)

    def tick(self, done: Any, total: Any) -> None:
        """Show, every so many steps and at the end, how many are done."""
        every = self.every
        if every is None:
            every = 100 if isinstance(total, Tracer) else max(1, int(total) // 100)
        due = (done % every == 0) | (done == total)
        lax.cond(due, lambda: debug_callback(self.show, done, total), lambda: None)

    def show(self, done: Any, total: Any) -> None:
        """Draw the bar, a new one where the last has ended."""
        done, total = int(done), int(total)
        if self.bar is None or done <= self.done:
            self.bar, self.done = _new_bar(total, self.desc, self.stream or sys.stderr), 0
        self.bar.update(done - self.done)
        self.done = done
        if done >= total:
            self.bar.close()
            self.bar = None


def _new_bar(total: int, desc: str, stream: IO[str]) -> _Bar:
    try:
        import tqdm
    except ImportError:
        return _TextBar(total, desc, stream)
    bar: _Bar = tqdm.tqdm(total=total, desc=desc, file=stream)
    return bar
