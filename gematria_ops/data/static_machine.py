"""A block executed on paper: registers begin with known values, and what cannot be known stays unknown.

Only what may decide an address is followed: general registers, and the memory that the block itself has written. The
result of an instruction that is not modelled is unknown. When an address is unknown the execution gives up, so it
never says less than what the block touches.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gematria_ops.blocks.machine_effects import MachineEffect, Memory, RegisterPart

PAGE_BYTES = 4096
# What every eight bytes of a page hold: 8 in each half.
PAGE_CONTENTS = 0x0000000800000008

_PATTERN = PAGE_CONTENTS.to_bytes(8, "little")
# Below, Linux maps nothing for programs (vm.mmap_min_addr); above, addresses belong to the kernel or to nobody.
_FIRST_ADDRESS = 1 << 16
_ADDRESS_END = 1 << 47
_MASK64 = (1 << 64) - 1

_STRINGS = frozenset(
    f"{name}{size}" for name in ("movs", "stos", "lods", "scas", "cmps") for size in ("b", "w", "d", "q")
)
_STACK = frozenset({"push", "pop", "pushf", "pushfq", "popf", "popfq"})
# What they load from memory decides which floating-point exceptions trap, or is refused by the processor.
_LOAD_CONTROLS = frozenset({"ldmxcsr", "vldmxcsr", "fldcw", "fldenv", "frstor", "fxrstor", "fxrstor64"})
# They touch more than the disassembler lists, or change where a segment begins.
_UNLISTED = frozenset({"enter", "clzero", "movdir64b", "enqcmd", "enqcmds", "wrfsbase", "wrgsbase"})
# With the number of the bit in a register they reach beyond what they name.
_BIT_STRINGS = frozenset({"bt", "bts", "btr", "btc"})
_DIRECTIONS = {"cld": 1, "std": -1, "popf": None, "popfq": None}


class CannotTellError(Exception):
    """The execution gives up; the argument is the reason, in a word or two."""


def _signed(value: int, num_bytes: int) -> int:
    sign = 1 << (8 * num_bytes - 1)
    return (value & (2 * sign - 1) ^ sign) - sign


def _count(value: int, num_bytes: int) -> int:
    return value & (63 if num_bytes == 8 else 31)


_BINARY: dict[str, Callable[[int, int, int], int]] = {
    "add": lambda a, b, _: a + b,
    "sub": lambda a, b, _: a - b,
    "and": lambda a, b, _: a & b,
    "or": lambda a, b, _: a | b,
    "xor": lambda a, b, _: a ^ b,
    "imul": lambda a, b, _: a * b,
    "shl": lambda a, b, num_bytes: a << _count(b, num_bytes),
    "sal": lambda a, b, num_bytes: a << _count(b, num_bytes),
    "shr": lambda a, b, num_bytes: a >> _count(b, num_bytes),
    "sar": lambda a, b, num_bytes: _signed(a, num_bytes) >> _count(b, num_bytes),
}
_UNARY: dict[str, Callable[[int], int]] = {
    "inc": lambda a: a + 1,
    "dec": lambda a: a - 1,
    "neg": lambda a: -a,
    "not": lambda a: ~a,
}
# Mnemonic to register read and its bytes read, register written and its bytes written: the sign is extended.
_EXTENSIONS = {
    "cwde": ("RAX", 2, "RAX", 4),
    "cdqe": ("RAX", 4, "RAX", 8),
    "cdq": ("RAX", 4, "RDX", 4),
    "cqo": ("RAX", 8, "RDX", 8),
}


class StaticMachine:
    """Registers, memory, and which pages were touched.

    Args:
        registers: The general registers whose values are known.
        segments: Where `FS` and `GS` begin, if that is known.
    """

    def __init__(self, registers: Mapping[str, int], segments: Mapping[str, int]) -> None:
        self._registers: dict[str, int | None] = dict(registers)
        self._segments = segments
        # By the offset in the page: whoever maps the pages may make them one piece of memory or one each.
        self._stored: dict[int, tuple[int, int | None]] = {}
        self._direction: int | None = 1
        self._pages: set[int] = set()

    @property
    def pages(self) -> tuple[int, ...]:
        """Addresses of the pages touched so far, in ascending order."""
        return tuple(sorted(self._pages))

    def execute(self, effect: MachineEffect) -> None:
        """Executes one instruction.

        Raises:
            CannotTellError: It is not known what the instruction does, or known that it faults.
        """
        _check_can_tell(effect)
        addresses = {access: self._touch(access) for access in effect.accesses}
        values = [self._value(operand, addresses) for operand in effect.operands]
        implied = self._implied_results(effect, values, addresses)
        for name in effect.written:
            self._registers[name] = None
        for access in effect.accesses:
            if access.is_written:
                self._store(addresses[access], access.num_bytes, None)
        if effect.is_plain:
            for operand, value in zip(effect.operands, _results(effect, values)):
                self._put(operand, value, addresses)
        self._registers |= implied
        if effect.mnemonic == "push":
            self._store(addresses[effect.accesses[-1]], effect.accesses[-1].num_bytes, values[0])
        self._direction = _DIRECTIONS.get(effect.mnemonic, self._direction)

    def _touch(self, access: Memory) -> int:
        """Returns the address of an access and notes its pages."""
        segment = self._segments.get(access.segment) if access.segment else 0
        offset = self._offset(access)
        if segment is None or offset is None or not access.num_bytes:
            raise CannotTellError("unknown_address")
        address = (segment + offset) & _MASK64
        if not _FIRST_ADDRESS <= address <= _ADDRESS_END - access.num_bytes:
            raise CannotTellError("unmappable_address")
        if address % access.alignment:
            raise CannotTellError("misaligned_address")
        first, last = address // PAGE_BYTES, (address + access.num_bytes - 1) // PAGE_BYTES
        self._pages.update(page * PAGE_BYTES for page in range(first, last + 1))
        return address

    def _offset(self, access: Memory) -> int | None:
        base = self._part(access.base_register) if access.base_register else 0
        index = self._part(access.index_register) if access.index_register else 0
        if base is None or index is None:
            return None
        return (base + index * access.scale + access.displacement) & ((1 << access.address_bits) - 1)

    def _value(self, operand: RegisterPart | Memory | int | None, addresses: Mapping[Memory, int]) -> int | None:
        if isinstance(operand, RegisterPart):
            return self._part(operand)
        if isinstance(operand, Memory):
            if operand not in addresses:  # of LEA
                return self._offset(operand)
            return self._load(addresses[operand], operand.num_bytes)
        return operand

    def _part(self, part: RegisterPart) -> int | None:
        value = self._registers.get(part.name)
        if value is None:
            return None
        return (value >> (8 if part.is_high else 0)) & ((1 << 8 * part.num_bytes) - 1)

    def _put(
        self, operand: RegisterPart | Memory | int | None, value: int | None, addresses: Mapping[Memory, int]
    ) -> None:
        """Stores a result; that of an unknown one has been forgotten already, and so have registers written in part."""
        if value is None:
            return
        if isinstance(operand, Memory):
            self._store(addresses[operand], operand.num_bytes, value)
        elif isinstance(operand, RegisterPart) and operand.num_bytes >= 4:
            self._registers[operand.name] = value & ((1 << 8 * operand.num_bytes) - 1)

    def _load(self, address: int, num_bytes: int) -> int | None:
        value = 0
        for position in range(num_bytes):
            place = address + position
            where, byte = self._stored.get(place % PAGE_BYTES, (place, _PATTERN[place % 8]))
            if byte is None or where != place:
                return None
            value |= byte << 8 * position
        return value

    def _store(self, address: int, num_bytes: int, value: int | None) -> None:
        for position in range(num_bytes):
            place = address + position
            byte = None if value is None else (value >> 8 * position) & 0xFF
            self._stored[place % PAGE_BYTES] = place, byte

    def _implied_results(
        self, effect: MachineEffect, values: list[int | None], addresses: Mapping[Memory, int]
    ) -> dict[str, int | None]:
        """Computes what an instruction leaves in registers that are not written down as its operands."""
        mnemonic = effect.mnemonic
        if mnemonic in _EXTENSIONS:
            return self._extended(*_EXTENSIONS[mnemonic])
        if mnemonic in ("div", "idiv"):
            return self._divided(effect, values[0])
        if mnemonic in _STRINGS:
            return self._moved_pointers(effect)
        if mnemonic == "leave" and effect.accesses[0].num_bytes == 8:
            return {
                "RSP": _plus(self._registers.get("RBP"), 8),
                "RBP": self._load(*_place(effect.accesses[0], addresses)),
            }
        if mnemonic not in _STACK:
            return {}
        moved: dict[str, int | None] = {"RSP": _plus(self._registers.get("RSP"), effect.stack_increment)}
        if mnemonic == "pop" and isinstance(effect.operands[0], RegisterPart) and effect.operands[0].num_bytes == 8:
            moved[effect.operands[0].name] = self._load(*_place(effect.accesses[-1], addresses))
        return moved

    def _extended(self, source: str, num_read: int, target: str, num_written: int) -> dict[str, int | None]:
        value = self._part(RegisterPart(source, num_read))
        if value is None:
            return {}
        extended = _signed(value, num_read)
        if source != target:  # only the sign goes there
            extended = -1 if extended < 0 else 0
        return {target: extended & ((1 << 8 * num_written) - 1)}

    def _divided(self, effect: MachineEffect, divisor: int | None) -> dict[str, int | None]:
        """Divides RDX:RAX; gives up when it is not certain that there is no overflow, which faults."""
        operand = effect.operands[0]
        num_bytes = operand.num_bytes if isinstance(operand, RegisterPart | Memory) else 0
        low, high = (self._part(RegisterPart(name, num_bytes)) for name in ("RAX", "RDX"))
        if num_bytes < 4 or low is None or high is None or not divisor:
            raise CannotTellError("division")
        dividend = high << 8 * num_bytes | low
        if effect.mnemonic == "div":
            quotient, limits = dividend // divisor, (0, (1 << 8 * num_bytes) - 1)
        else:
            dividend, divisor = _signed(dividend, 2 * num_bytes), _signed(divisor, num_bytes)
            quotient = abs(dividend) // abs(divisor) * (1 if (dividend < 0) == (divisor < 0) else -1)
            limits = (-1 << 8 * num_bytes - 1, (1 << 8 * num_bytes - 1) - 1)
        if not limits[0] <= quotient <= limits[1]:
            raise CannotTellError("division")
        mask = (1 << 8 * num_bytes) - 1
        return {"RAX": quotient & mask, "RDX": (dividend - quotient * divisor) & mask}

    def _moved_pointers(self, effect: MachineEffect) -> dict[str, int | None]:
        """Moves the pointers of a string instruction; `movsd` may also be the move of a double, which moves none."""
        moved: dict[str, int | None] = {}
        for access in effect.accesses:
            base = access.base_register
            if base is not None and base.name in effect.written and base.num_bytes == 8 and self._direction is not None:
                moved[base.name] = _plus(self._registers.get(base.name), self._direction * access.num_bytes)
        return moved


def _check_can_tell(effect: MachineEffect) -> None:
    if effect.hazard is not None:
        raise CannotTellError(effect.hazard.value)
    if effect.mnemonic in _LOAD_CONTROLS:
        raise CannotTellError("control_register")
    is_bit_string = effect.mnemonic in _BIT_STRINGS and isinstance(effect.operands[1], RegisterPart)
    if effect.mnemonic in _UNLISTED or (is_bit_string and effect.accesses):
        raise CannotTellError("unknown_address")


def _results(effect: MachineEffect, values: list[int | None]) -> list[int | None]:
    """Computes what goes into the operands, in their order; None: unknown, or nothing."""
    mnemonic, operands = effect.mnemonic, effect.operands
    if mnemonic == "xchg":
        return [values[1], values[0]]
    if mnemonic in ("mov", "movzx", "lea"):
        return [values[1]]
    if mnemonic in ("movsx", "movsxd"):
        source = operands[1]
        known = values[1] is not None and isinstance(source, RegisterPart | Memory)
        return [_signed(values[1], source.num_bytes) if known else None]  # type: ignore[arg-type, union-attr]
    if mnemonic in _UNARY:
        return [None if values[0] is None else _UNARY[mnemonic](values[0])]
    if mnemonic not in _BINARY or len(values) < 2:
        return []
    if mnemonic in ("xor", "sub") and operands[0] == operands[1]:
        return [0]
    first, second = values[-2:]
    target = operands[0]
    if first is None or second is None or not isinstance(target, RegisterPart | Memory):
        return [None]
    return [_BINARY[mnemonic](first, second, target.num_bytes)]


def _plus(value: int | None, increment: int) -> int | None:
    return None if value is None else (value + increment) & _MASK64


def _place(access: Memory, addresses: Mapping[Memory, int]) -> tuple[int, int]:
    return addresses[access], access.num_bytes
