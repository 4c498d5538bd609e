"""Machine code that functrace links and loads itself, against what LLVM's own linker makes."""

from __future__ import annotations

import ctypes
import gc
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from handmade import ADD_ONE, SINE, elementwise, unary

from functrace.compiler.runtime import build as build_module
from functrace.compiler.runtime import image as image_module
from functrace.compiler.runtime.build import BuildError, build, clear_caches
from functrace.compiler.runtime.elf import LinkError, link
from functrace.compiler.runtime.image import PAGE, Image, MappedCode, supported
from functrace.compiler.runtime.machine import compile_module
from functrace.config import config

needs_images = pytest.mark.skipif(not supported(), reason="x86-64 Linux only")

#: Constants, a table of addresses, writable and zeroed data, and a call of an outside function.
PARTS = """
@table = internal constant [2 x ptr] [ptr @one, ptr @two]
@counter = internal global i64 40
@zeros = internal global [100 x i64] zeroinitializer
declare double @cos(double)
define internal i64 @one() noinline { ret i64 1 }
define internal i64 @two() noinline { ret i64 2 }
define i64 @kernel(i64 %k) {
  %p = getelementptr [2 x ptr], ptr @table, i64 0, i64 %k
  %f = load volatile ptr, ptr %p
  %a = call i64 %f()
  %c = load volatile i64, ptr @counter
  %d = add i64 %c, 1
  store volatile i64 %d, ptr @counter
  %z = load volatile i64, ptr @zeros
  %s = add i64 %a, %d
  %t = add i64 %s, %z
  ret i64 %t
}
define double @cosine(double %x) {
  %y = call double @cos(double %x)
  %z = fmul double %y, 0.3
  ret double %z
}
"""


@pytest.fixture(params=["image", "object"])
def loader(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    """Both ways to load code; LLVM's linker is the only one on other platforms."""
    if request.param == "image" and not supported():
        pytest.skip("x86-64 Linux only")
    clear_caches()
    monkeypatch.setattr(image_module, "_forced_off", request.param == "object")
    with config.override(cache_dir=str(tmp_path / "cache")):
        yield request.param
    clear_caches()


def test_all_parts_of_a_module_are_linked(loader: str) -> None:
    for _ in range(2):  # compiled, then from disk
        code = build(PARTS, ("kernel", "cosine"))
        kernel = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(code.addresses["kernel"])
        cosine = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(code.addresses["cosine"])
        assert [kernel(0), kernel(1), kernel(0)] == [42, 44, 44]
        assert cosine(0.25) == float(np.cos(0.25)) * 0.3
        clear_caches()


def test_both_ways_give_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.linspace(-3.0, 3.0, 1001)
    results = []
    for forced in (False, True):
        clear_caches()
        monkeypatch.setattr(image_module, "_forced_off", forced)
        with config.override(cache_dir=str(tmp_path / "cache")):
            results.append([elementwise(t, (1001,)).call(x)[0] for t in (ADD_ONE, SINE)])
    for first, second in zip(*results):
        np.testing.assert_array_equal(first, second)


def test_a_missing_function_is_an_error(loader: str) -> None:
    text = unary("%y = call double @nowhere(double %x)", extra="declare double @nowhere(double)")
    with pytest.raises(BuildError, match="does not link"):
        build(text, symbols=lambda: {"nowhere": 0})


@needs_images
def test_an_image_survives_its_bytes() -> None:
    image = link(compile_module(PARTS))
    again = Image.from_bytes(image.to_bytes())
    assert again == image
    assert image.writable % PAGE == image.size % PAGE == 0
    assert set(image.entries) == {"kernel", "cosine"}
    assert set(image.imports) == {"cos"}


@needs_images
def test_dropped_code_is_unmapped() -> None:
    def mapped(address: int) -> bool:
        with open("/proc/self/maps") as maps:
            spans = [[int(x, 16) for x in line.split()[0].split("-")] for line in maps]
        return any(low <= address < high for low, high in spans)

    image = link(compile_module(ADD_ONE))
    image.size += 1 << 24  # far from whatever else is mapped
    code = MappedCode(image, {})
    base = code.base
    assert mapped(base + (1 << 23))
    del code
    gc.collect()
    assert not mapped(base + (1 << 23))


@needs_images
def test_code_is_never_writable() -> None:
    code = MappedCode(link(compile_module(PARTS)), {"cos": 1})
    with open("/proc/self/maps") as maps:
        lines = [line.split() for line in maps]
    for span, mode, *_ in lines:
        low, high = (int(x, 16) for x in span.split("-"))
        if low <= code.base < high:
            assert mode.startswith("r-x")


@needs_images
@pytest.mark.parametrize(
    ("place", "value", "message"),
    [(0, b"\x7fBAD", "not a relocatable"), (18, struct.pack("<H", 183), "not a relocatable")],
)
def test_other_objects_are_refused(place: int, value: bytes, message: str) -> None:
    data = bytearray(compile_module(ADD_ONE))
    data[place : place + len(value)] = value
    with pytest.raises(LinkError, match=message):
        link(bytes(data))


@needs_images
def test_what_the_linker_does_not_know_llvm_links(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(data: bytes) -> Image:
        raise LinkError("a new kind of relocation")

    monkeypatch.setattr(build_module, "link", refuse)
    clear_caches()
    with config.override(cache_dir=str(tmp_path / "cache")):
        x = np.ones(10)
        np.testing.assert_array_equal(elementwise(ADD_ONE, (10,)).call(x)[0], x + 1.0)
    clear_caches()


def test_images_can_be_switched_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_module, "_forced_off", True)
    assert not supported()
