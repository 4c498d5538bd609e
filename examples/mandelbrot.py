"""Draw the Mandelbrot set: a ``while_loop`` for each pixel, each of its own length.

A point c belongs to the set when z -> z^2 + c stays bounded from z = 0. Points far outside escape
after a step or two, points inside never do: ``lax.map`` runs the loop pixel by pixel in native
code, on all cores, and no pixel waits for another.

Shown here: ``lax.while_loop`` inside ``lax.map`` inside ``jit``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

import functrace as ft
from functrace import lax


def escape_time(c: Any, most: int = 500) -> Any:
    """Return after how many steps a point leaves the circle of radius 2."""

    def goes_on(state: tuple[Any, Any, Any]) -> Any:
        x, y, n = state
        return (x * x + y * y <= 4.0) & (n < most)

    def step(state: tuple[Any, Any, Any]) -> tuple[Any, Any, Any]:
        x, y, n = state
        return x * x - y * y + c[0], 2.0 * x * y + c[1], n + 1

    return lax.while_loop(goes_on, step, (0.0, 0.0, 0))[2]


@ft.jit
def picture(points: np.ndarray) -> np.ndarray:
    return lax.map(escape_time, points)


def grid(width: int, height: int) -> np.ndarray:
    """Return the points of a picture, row by row."""
    x, y = np.meshgrid(np.linspace(-2.2, 0.8, width), np.linspace(-1.2, 1.2, height))
    return np.stack([x.ravel(), y.ravel()], axis=1)


def main(width: int = 76, height: int = 28) -> dict[str, Any]:
    times = picture(grid(width, height)).reshape(height, width)
    shades = np.array(list(" .:-=+*#%@"))
    darkness = np.minimum(np.log2(times + 1), 9).astype(int)
    for row in np.where(times == 500, 9, np.minimum(darkness, 8)):
        print("".join(shades[row]))
    area = (times == 500).mean() * 3.0 * 2.4
    print(f"area about {area:.2f} (it is 1.5066)")
    return {"times": times, "area": float(area)}


if __name__ == "__main__":
    main()
