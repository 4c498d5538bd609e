"""Building kernels and keeping them: what is refused, what is compiled once, what is survived."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from handmade import ADD_ONE, DOUBLE, SINE, unary

import functrace as ft
from functrace.compiler.runtime import build as build_module
from functrace.compiler.runtime.build import BuildError, build, cache_info, clear_caches
from functrace.compiler.runtime.cache import DiskCache, MemoryCache, default_directory
from functrace.compiler.runtime.machine import compile_module
from functrace.config import config

KEY = "0" * 64

PROGRAM = """
import numpy as np
from functrace.compiler.runtime.build import cache_info
from handmade import ADD_ONE, CHECK, DOUBLE, SINE, elementwise
x = np.linspace(0, 1, 100)
results = [elementwise(text, (100,)).call(x)[0] for text in (ADD_ONE, DOUBLE, SINE, CHECK)]
import hashlib
digest = hashlib.sha256(b"".join(r.tobytes() for r in results[:3])).hexdigest()
print(cache_info().compiled, cache_info().disk_hits, digest)
"""


@pytest.fixture
def directory(tmp_path: Path) -> Iterator[Path]:
    """A cache directory of this test's own."""
    clear_caches()
    with config.override(cache_dir=str(tmp_path / "cache")):
        yield tmp_path / "cache"
    clear_caches()


def _start(code: str, directory: Path) -> subprocess.Popen[str]:
    path = os.pathsep.join(filter(None, sys.path))
    environment = {**os.environ, "PYTHONPATH": path, "FUNCTRACE_CACHE_DIR": str(directory)}
    return subprocess.Popen(
        [sys.executable, "-W", "error", "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def _finish(process: subprocess.Popen[str]) -> list[str]:
    out, err = process.communicate(timeout=120)
    assert process.returncode == 0, err
    return out.split()


def _objects(directory: Path) -> list[Path]:
    return sorted((directory / "objects-1").iterdir())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("this is not LLVM", "LLVM rejects"),
        ("define i64 @kernel() {\n  ret i32 0\n}", "LLVM rejects"),
        (unary("%y = call double @getenv(double %x)", extra="declare double @getenv(double)"),
         "may not call getenv"),
        (unary("%y = fadd double %x, 1.0", extra="declare i32 @system(ptr)"), "system"),
        (unary("%y = load double, ptr @environ", extra="@environ = external global double"),
         "may not call environ"),
        ("define i64 @other() {\n  ret i64 0\n}", "does not link"),
    ],
    ids=["syntax", "type", "function", "unused", "variable", "entry"],
)  # fmt: skip
def test_a_bad_kernel_is_refused(text: str, message: str) -> None:
    with pytest.raises(BuildError, match=message):
        build(text)


def test_a_kernel_may_call_what_it_is_given(directory: Path) -> None:
    text = unary("%y = call double @mine(double %x)", extra="declare double @mine(double)")
    with pytest.raises(BuildError, match="may not call mine"):
        build(text)
    address = build_module.process_symbol("cos")
    assert address
    assert build(text, symbols=lambda: {"mine": address}).address


def test_each_kernel_is_compiled_once(directory: Path) -> None:
    for _ in range(3):
        build(ADD_ONE)
        build(DOUBLE)
    info = cache_info()
    assert (info.compiled, info.hits, info.disk_hits, info.entries) == (2, 4, 0, 2)
    assert info.directory == str(directory / "objects-1")
    clear_caches()
    assert cache_info().entries == 0
    build(ADD_ONE)
    assert (cache_info().compiled, cache_info().disk_hits) == (0, 1)
    clear_caches(disk=True)
    assert _objects(directory) == []


def test_entry_points_are_part_of_the_key(directory: Path) -> None:
    text = "define i64 @one() {\n  ret i64 1\n}\ndefine i64 @two() {\n  ret i64 2\n}\n"
    both = build(text, ("one", "two"))
    one = build(text, ("one",))
    assert set(both.addresses) == {"one", "two"}
    assert set(one.addresses) == {"one"}
    assert both.key != one.key


def test_a_second_process_compiles_nothing(directory: Path) -> None:
    compiled, _, first = _finish(_start(PROGRAM, directory))
    assert int(compiled) >= 4
    compiled, loaded, second = _finish(_start(PROGRAM, directory))
    assert (int(compiled), int(loaded)) == (0, 5)
    assert first == second


def test_processes_may_start_at_once(directory: Path) -> None:
    processes = [_start(PROGRAM, directory) for _ in range(8)]
    digests = {_finish(process)[2] for process in processes}
    assert len(digests) == 1
    assert len(_objects(directory)) == 5
    assert int(_finish(_start(PROGRAM, directory))[0]) == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_forked_processes_compile_at_once(directory: Path) -> None:
    build(ADD_ONE)
    texts = [unary(f"%y = fadd double %x, {k}.5") for k in range(4)]
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            try:
                fine = all(build(text).address for text in texts)
            finally:
                os._exit(0 if fine else 1)
        children.append(child)
    assert all(os.waitstatus_to_exitcode(os.waitpid(c, 0)[1]) == 0 for c in children)
    clear_caches()
    for text in texts:
        build(text)
    assert cache_info().compiled == 0


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_killed_writer_leaves_nothing_that_is_loaded(directory: Path) -> None:
    code = """
import os
from functrace.compiler.runtime import build
from functrace.compiler.runtime import cache
cache.os.replace = lambda *names: print("writing", flush=True) or os.read(0, 1)
from handmade import ADD_ONE
build.build(ADD_ONE)
"""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "FUNCTRACE_CACHE_DIR": str(directory),
        },
    )
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"writing\n"
    process.send_signal(signal.SIGKILL)
    process.wait(timeout=60)
    process.stdout.close()
    process.stdin.close()
    (left,) = _objects(directory)
    assert left.suffix == ".part"
    build(ADD_ONE)
    assert cache_info().compiled == 1
    hours_ago = time.time() - 7200
    os.utime(left, (hours_ago, hours_ago))
    DiskCache(directory).trim()
    assert [path.suffix for path in _objects(directory)] == [".ftobj"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:-1],
        lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
        lambda data: data + b"x",
        lambda data: data[:-200] + bytes(200),
    ],
    ids=["empty", "short", "digest", "long", "zeros"],
)
def test_a_damaged_object_is_compiled_again(directory: Path, damage: object) -> None:
    build(SINE)
    clear_caches()
    (path,) = _objects(directory)
    path.write_bytes(damage(path.read_bytes()))  # type: ignore[operator]
    with pytest.warns(RuntimeWarning, match="damaged kernel"):
        build(SINE)
    assert cache_info().compiled == 1
    clear_caches()
    build(SINE)
    assert cache_info().disk_hits == 1


posix = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs POSIX permissions")


@posix
@pytest.mark.parametrize("which", ["root", "inner"])
def test_a_directory_that_others_may_write_is_refused_once(directory: Path, which: str) -> None:
    (directory / "objects-1").mkdir(parents=True, mode=0o700)
    (directory if which == "root" else directory / "objects-1").chmod(0o777)
    with pytest.warns(RuntimeWarning, match="writable by others"):
        build(ADD_ONE)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        build(DOUBLE)
    assert cache_info() == (0, 0, 2, 2, cache_info().limit, None)
    assert _objects(directory) == []


@posix
def test_another_users_directory_is_refused(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    directory.mkdir(mode=0o700)
    monkeypatch.setattr("functrace.compiler.runtime.cache.os.geteuid", lambda: 12345)
    with pytest.warns(RuntimeWarning, match="belongs to another user"):
        build(ADD_ONE)
    assert cache_info().compiled == 1


@posix
def test_the_directory_is_private(directory: Path) -> None:
    build(ADD_ONE)
    assert directory.stat().st_mode & 0o777 == 0o700
    (path,) = _objects(directory)
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_directory_that_cannot_be_made_is_a_warning(tmp_path: Path) -> None:
    clear_caches()
    (tmp_path / "file").write_text("in the way")
    with (
        config.override(cache_dir=str(tmp_path / "file" / "cache")),
        pytest.warns(RuntimeWarning, match="keeps no compiled kernels on disk"),
    ):
        build(ADD_ONE)
    assert cache_info().compiled == 1


def test_a_failed_write_is_a_warning(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*names: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("functrace.compiler.runtime.cache.os.replace", full)
    with pytest.warns(RuntimeWarning, match="No space left"):
        build(ADD_ONE)
    build(DOUBLE)
    assert cache_info().compiled == 2
    assert _objects(directory) == []


def test_the_directory_is_bounded(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache", limit_bytes=10_000)
    for k in range(20):
        cache.put(f"{k:064d}", bytes(1000))
        os.utime(tmp_path / "cache" / "objects-1" / f"{k:064d}.ftobj", (k, k))
    cache.trim()
    kept = [path.stem for path in _objects(tmp_path / "cache")]
    assert 5 <= len(kept) <= 8
    assert kept[-1] == f"{19:064d}"
    assert cache.get(f"{19:064d}") == bytes(1000)
    assert cache.get(f"{0:064d}") is None


def test_a_hit_makes_an_old_entry_young(tmp_path: Path) -> None:
    cache = DiskCache(tmp_path / "cache")
    cache.put(KEY, b"object")
    path = tmp_path / "cache" / "objects-1" / f"{KEY}.ftobj"
    os.utime(path, (0, 0))
    assert cache.get(KEY) == b"object"
    assert time.time() - path.stat().st_mtime < 3600


def test_the_memory_keeps_what_was_used_last() -> None:
    memory: MemoryCache[int] = MemoryCache(2)
    memory.put("a", 1)
    memory.put("b", 2)
    assert memory.get("a") == 1
    memory.put("c", 3)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (1, None, 3)
    memory.clear()
    assert len(memory) == 0


def test_the_directory_follows_config_then_the_platform(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with config.override(cache_dir=str(tmp_path)):
        assert default_directory() == tmp_path
    with config.override(cache_dir=None):
        monkeypatch.setattr(sys, "platform", "linux")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert default_directory() == tmp_path / "xdg" / "functrace"
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path))
        assert default_directory() == tmp_path / ".cache" / "functrace"


def test_importing_the_runtime_loads_no_compiler_and_starts_no_thread(directory: Path) -> None:
    code = """
import sys
import functrace.compiler.runtime.program, functrace.compiler.runtime.blas
heavy = [m for m in ("llvmlite", "numba", "scipy", "scipy_openblas64") if m in sys.modules]
from functrace.config import config
config.threads = 4
import numpy as np
from handmade import ADD_ONE, elementwise
from functrace.compiler.runtime.driver import driver
x = np.ones(1000)
elementwise(ADD_ONE, (1000,)).call(x)
whole = driver().helpers_started()
elementwise(ADD_ONE, (1000,), grain=100).call(x)
print(len(heavy), whole, driver().helpers_started())
"""
    expected = "3" if sys.platform in ("linux", "darwin") else "0"
    assert _finish(_start(code, directory)) == ["0", "0", expected]


def test_an_unreadable_object_is_a_warning(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DiskCache(directory / "unreadable")
    cache.put("key", b"object")
    assert cache.get("key") == b"object"

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "not yours", str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.warns(RuntimeWarning, match=r"cannot read .*not yours"):
        assert cache.get("key") is None
    assert cache.directory is None
    cache.put("key", b"object")
    cache.clear()


def test_a_link_may_be_the_root_but_not_to_a_file(tmp_path: Path) -> None:
    real = tmp_path / "real"
    real.mkdir(mode=0o700)
    (tmp_path / "link").symlink_to(real)
    cache = DiskCache(tmp_path / "link")
    cache.put("key", b"object")
    assert cache.get("key") == b"object"
    file, other = tmp_path / "file", tmp_path / "other"
    file.write_text("")
    other.mkdir(mode=0o700)
    (other / "objects-1").symlink_to(file)
    with pytest.warns(RuntimeWarning, match="objects-1 is not a directory"):
        assert DiskCache(other).directory is None


@pytest.mark.parametrize(
    "platform, variable, place",
    [
        ("win32", "LOCALAPPDATA", "{base}/functrace/cache"),
        ("linux", "XDG_CACHE_HOME", "{base}/functrace"),
        ("darwin", "HOME", "{base}/Library/Caches/functrace"),
    ],
)
def test_each_platform_has_its_directory(
    platform: str, variable: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setenv(variable, str(tmp_path))
    with config.override(cache_dir=None):
        assert default_directory() == Path(place.format(base=tmp_path))


def _training_step(rate: float, layers: int) -> Callable[..., Any]:
    def loss(params: Any, x: Any, y: Any) -> Any:
        for w, b in params:
            x = np.tanh(x @ w + b)
        z = x - np.max(x, axis=1, keepdims=True)
        log_p = z - np.log(np.sum(np.exp(z), axis=1, keepdims=True))
        return -np.mean(np.sum(np.where(y[:, None] == np.arange(24), log_p, 0.0), axis=1))

    def step(params: Any, x: Any, y: Any) -> Any:
        value, grads = ft.value_and_grad(loss)(params, x, y)
        return value, ft.tree.map(lambda p, g: p - rate * g, params, grads)

    return ft.jit(step)  # type: ignore[no-any-return]


def _arguments(batch: int, layers: int) -> tuple[Any, ...]:
    params = [(np.eye(24) * 0.1, np.zeros(24)) for _ in range(layers)]
    return params, np.ones((batch, 24)), np.arange(batch) % 24


def test_new_sizes_and_new_constants_compile_no_kernel(directory: Path) -> None:
    step = _training_step(0.1, 2)
    step(*_arguments(64, 2))
    before = cache_info().compiled
    for batch in (65, 72, 100, 128):
        step(*_arguments(batch, 2))
    _training_step(0.003, 2)(*_arguments(64, 2))
    assert cache_info().compiled == before


def test_identical_kernels_are_compiled_once_in_a_program_and_across(directory: Path) -> None:
    counts = []
    for layers in (3, 12):
        clear_caches(disk=True)
        _training_step(0.1, layers)(*_arguments(64, layers))
        counts.append(cache_info().compiled)
    assert counts[0] == counts[1]
    _training_step(0.1, 6)(*_arguments(64, 6))
    assert cache_info().compiled == counts[1]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads Linux's /proc")
def test_compiling_leaves_nothing_behind(directory: Path) -> None:
    def compile_some(first: int) -> None:
        for k in range(first, first + 40):
            compile_module(unary(f"%y = fmul double %x, {k}.0"))

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")

    compile_some(1)
    before = resident()
    compile_some(100)
    assert resident() - before < 40 * 20_000  # llvmlite's pass managers alone would be 2 MiB
