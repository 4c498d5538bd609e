"""Links the ELF object of a module, as LLVM emits it for x86-64, into an image.

    code and constants | stubs, one per function called | words that hold addresses || data, zeros

Everything but the addresses of outside functions is known relative to the code, so it is filled in
here; a call of an outside function goes to its stub, a jump through its word.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from functrace.compiler.runtime.image import PAGE, Image

__all__ = ["LinkError", "link"]

_FILE = struct.Struct("<16sHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")
_RELOCATION = struct.Struct("<QIIq")
_X86_64, _RELOCATABLE = 62, 1
_RELA, _ZEROS, _UNWIND = 4, 8, 0x70000001
_WRITE, _ALLOC = 1, 2
_UNDEFINED = 0
_GLOBAL = 1
# Kinds of relocations: a whole address; a distance to something; to a function, maybe an outside
# one; to a word that holds an address.
_ADDRESS, _DISTANCE, _CALL = 1, 2, 4
_THROUGH_WORD = frozenset((9, 41, 42))
_STUB = 8
_JUMP = b"\xff\x25"  # jmp through the word at the distance that follows


class LinkError(Exception):
    """The object holds something that this linker doesn't know."""


class _Section(NamedTuple):
    name: str
    kind: int
    flags: int
    offset: int
    size: int
    info: int
    align: int

    @property
    def loaded(self) -> bool:
        """Whether running the code takes it; nothing ever unwinds through a kernel."""
        unwind = self.kind == _UNWIND or self.name.startswith(".eh_frame")
        return bool(self.flags & _ALLOC) and self.size > 0 and not unwind


class _Symbol(NamedTuple):
    name: str
    section: int
    value: int
    exported: bool


class _Object:
    """The tables of an object file."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        head = _FILE.unpack_from(data)
        if head[0][:6] != b"\x7fELF\x02\x01" or head[1] != _RELOCATABLE or head[2] != _X86_64:
            raise LinkError("not a relocatable x86-64 ELF object")
        first, count, names = head[6], head[12], head[13]
        rows = [_SECTION.unpack_from(data, first + _SECTION.size * k) for k in range(count)]
        at = rows[names][4]
        self.sections = [
            _Section(self._text(at + r[0]), r[1], r[2], r[4], r[5], r[7], max(r[8], 1))
            for r in rows
        ]
        self._links = [r[6] for r in rows]

    def _text(self, at: int) -> str:
        return self.data[at : self.data.index(b"\0", at)].decode()

    @cached_property
    def symbols(self) -> list[_Symbol]:
        table = next(k for k, s in enumerate(self.sections) if s.kind == 2)
        names = self.sections[self._links[table]].offset
        section = self.sections[table]
        found = []
        for at in range(section.offset, section.offset + section.size, _SYMBOL.size):
            name, info, _, where, value, _ = _SYMBOL.unpack_from(self.data, at)
            found.append(_Symbol(self._text(names + name), where, value, info >> 4 == _GLOBAL))
        return found

    def relocations(self) -> Iterator[tuple[int, int, int, _Symbol, int]]:
        """Yield section, offset in it, kind, symbol, addend, for what is loaded."""
        for section in self.sections:
            if section.kind != _RELA or not self.sections[section.info].loaded:
                continue
            for at in range(section.offset, section.offset + section.size, _RELOCATION.size):
                offset, kind, symbol, addend = _RELOCATION.unpack_from(self.data, at)
                yield section.info, offset, kind, self.symbols[symbol], addend


def link(data: bytes) -> Image:
    """Return the image of an object file.

    Raises:
        LinkError: it holds something that this linker doesn't know.
    """
    return _Link(_Object(data)).image()


class _Link:
    def __init__(self, source: _Object) -> None:
        self.object = source
        self.at: dict[int, int] = {}
        self.content = bytearray()
        self.stubs: dict[str, int] = {}
        self.words: dict[_Symbol, int] = {}
        self.result = Image(b"", 0, 0)

    def image(self) -> Image:
        """Place the parts in order, then fill in the distances between them."""
        loaded = [(k, s) for k, s in enumerate(self.object.sections) if s.loaded]
        self.place([(k, s) for k, s in loaded if not s.flags & _WRITE])
        self.place_stubs()
        self.result.writable = self.pad(PAGE)
        self.place([(k, s) for k, s in loaded if s.flags & _WRITE and s.kind != _ZEROS])
        filled = len(self.content)
        self.place([(k, s) for k, s in loaded if s.flags & _WRITE and s.kind == _ZEROS])
        for section, offset, kind, symbol, addend in self.object.relocations():
            self.relocate(self.at[section] + offset, kind, symbol, addend)
        self.result.entries = {
            s.name: self.address(s) for s in self.object.symbols if s.exported and s.section
        }
        self.result.size = -(-len(self.content) // PAGE) * PAGE
        self.result.content = bytes(self.content[:filled]).rstrip(b"\0")
        return self.result

    def pad(self, align: int) -> int:
        self.content += bytes(-len(self.content) % align)
        return len(self.content)

    def place(self, sections: list[tuple[int, _Section]]) -> None:
        for k, section in sections:
            self.at[k] = self.pad(section.align)
            if section.kind == _ZEROS:
                self.content += bytes(section.size)
            else:
                self.content += self.object.data[section.offset : section.offset + section.size]

    def place_stubs(self) -> None:
        """Make room for what leads outside: a word per symbol, and a stub per function called."""
        called: dict[str, None] = {}
        held: dict[_Symbol, None] = {}
        for _, _, kind, symbol, _ in self.object.relocations():
            if kind == _CALL and symbol.section == _UNDEFINED:
                called[symbol.name] = held[symbol] = None
            elif kind in _THROUGH_WORD:
                held[symbol] = None
        start = self.pad(_STUB)
        self.stubs = {name: start + _STUB * k for k, name in enumerate(called)}
        self.content += bytes(_STUB * len(called))
        for symbol in held:
            self.words[symbol] = at = len(self.content)
            self.content += bytes(8)
            if symbol.section == _UNDEFINED:
                self.result.imports.setdefault(symbol.name, []).append(at)
                if symbol.name in self.stubs:
                    stub = self.stubs[symbol.name]
                    self.content[stub : stub + 2] = _JUMP
                    self.write(stub + 2, "<i", at - (stub + 6))

    def write(self, at: int, form: str, value: int) -> None:
        try:
            struct.pack_into(form, self.content, at, value)
        except struct.error as error:
            raise LinkError(f"a distance is too great: {error}") from None

    def address(self, symbol: _Symbol) -> int:
        if symbol.section not in self.at:
            raise LinkError(f"{symbol.name!r} is not in a section that is loaded")
        return self.at[symbol.section] + symbol.value

    def relocate(self, at: int, kind: int, symbol: _Symbol, addend: int) -> None:
        outside = symbol.section == _UNDEFINED
        if kind in _THROUGH_WORD:
            word = self.words[symbol]
            if not outside:
                self.result.rebases[word] = self.address(symbol)
            self.write(at, "<i", word + addend - at)
        elif kind == _CALL and outside:
            self.write(at, "<i", self.stubs[symbol.name] + addend - at)
        elif kind in (_CALL, _DISTANCE) and not outside:
            self.write(at, "<i", self.address(symbol) + addend - at)
        elif kind == _ADDRESS and not outside:
            self.result.rebases[at] = self.address(symbol) + addend
        elif kind == _ADDRESS and addend == 0:
            self.result.imports.setdefault(symbol.name, []).append(at)
        else:
            raise LinkError(f"relocation {kind} of {symbol.name!r}")
