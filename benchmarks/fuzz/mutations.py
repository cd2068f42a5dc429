"""Seeded damage: bytes and texts changed the way disks, networks, editors and enemies change them.

Pure functions of their input and a ``random.Random``: the same seed gives the same damage.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

Mutation = Callable[[bytes, random.Random], bytes]

ODD_WORDS = (
    *("~", "null", "off", "yes", "0x1F", "1e999", "-1", "nan", ".inf", "00010", "2026-11-27"),
    *("''", "[]", "{}", "&a [*a]", "*a", "!!python/object:os.system", "<<: *a", "\x00", "\ufeff"),
    *("\u202e", "é" * 300, "/dev/zero", "../../..", "file:///etc/passwd", "9" * 400, "- - - -"),
)
"""Words that parsers stumble over."""

_ODD_NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def mutate(content: bytes, chance: random.Random, *, text: bool) -> bytes:
    """``content`` with one to four kinds of damage; never the same bytes as before."""
    kinds: Sequence[Mutation] = TEXT if text else BINARY
    for _ in range(100):
        damaged = content
        for _ in range(chance.choice((1, 1, 2, 4))):
            damaged = chance.choice(kinds)(damaged, chance)
        if damaged != content:
            return damaged
    return content + b"\x00"


def flip_bits(content: bytes, chance: random.Random) -> bytes:
    """A few single bits turned, anywhere."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 4, 32))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip_head(content: bytes, chance: random.Random) -> bytes:
    """Bytes of the first kilobyte or the last four replaced: headers and indexes lie there."""
    changed = bytearray(content)
    for _ in range(chance.choice((1, 3, 9))):
        if changed:
            end = chance.choice((min(1024, len(changed)), -min(4096, len(changed))))
            at = chance.randrange(end) if end > 0 else len(changed) + chance.randrange(end, 0)
            changed[at] = chance.randrange(256)
    return bytes(changed)


def odd_number(content: bytes, chance: random.Random) -> bytes:
    """One, two or four bytes become a number at a limit: lengths and counts."""
    if not content:
        return content
    width, order = chance.choice((1, 2, 4)), chance.choice(("big", "little"))
    number = chance.choice(_ODD_NUMBERS) & ((1 << 8 * width) - 1)
    at = chance.randrange(len(content))
    number_bytes = number.to_bytes(width, "big" if order == "big" else "little")
    return content[:at] + number_bytes + content[at + width :]


def cut_off(content: bytes, chance: random.Random) -> bytes:
    """The end is missing."""
    return content[: chance.randrange(len(content) + 1)]


def leave_out(content: bytes, chance: random.Random) -> bytes:
    """A piece is missing, of a packet's or a block's size."""
    at = chance.randrange(len(content) + 1)
    return content[:at] + content[at + chance.choice((1, 188, 512, 4096)) :]


def repeat_piece(content: bytes, chance: random.Random) -> bytes:
    """A piece stands there twice."""
    at = chance.randrange(len(content) + 1)
    piece = content[at : at + chance.choice((1, 188, 4096))]
    return content[:at] + piece + content[at:]


def swap_pieces(content: bytes, chance: random.Random) -> bytes:
    """Two pieces of one size change places."""
    size = min(chance.choice((4, 188, 2048)), len(content) // 2)
    if not size:
        return content
    first = chance.randrange(len(content) - 2 * size + 1)
    second = chance.randrange(first + size, len(content) - size + 1)
    a, b = content[first : first + size], content[second : second + size]
    return content[:first] + b + content[first + size : second] + a + content[second + size :]


def zero_piece(content: bytes, chance: random.Random) -> bytes:
    """A block was never written."""
    at = chance.randrange(len(content) + 1)
    size = min(chance.choice((16, 512, 4096)), len(content) - at)
    return content[:at] + bytes(size) + content[at + size :]


def odd_word(content: bytes, chance: random.Random) -> bytes:
    """A word, or a place between two, becomes one that parsers stumble over."""
    words = content.split(b" ")
    at = chance.randrange(len(words))
    odd = chance.choice(ODD_WORDS).encode()
    words[at] = odd if chance.random() < 0.5 else words[at] + odd
    return b" ".join(words)


def shuffle_lines(content: bytes, chance: random.Random) -> bytes:
    """A line moves, is there twice, loses or gains its indent."""
    lines = content.split(b"\n")
    at = chance.randrange(len(lines))
    line = lines.pop(at) if chance.random() < 0.5 else lines[at]
    odd = chance.choice((line, b"  " + line, line.strip(), line.replace(b":", b""), line + b"\r"))
    lines.insert(chance.randrange(len(lines) + 1), odd)
    return b"\n".join(lines)


def other_encoding(content: bytes, chance: random.Random) -> bytes:
    """The same text as another editor saves it, or no text at all."""
    text = content.decode("utf-8", "replace")
    if chance.random() < 0.1:
        return chance.randbytes(200)
    return text.encode(chance.choice(("utf-16", "utf-8-sig", "utf-32", "utf-7")))


BINARY: tuple[Mutation, ...] = (
    *(flip_bits, flip_head, odd_number, cut_off, leave_out, repeat_piece, swap_pieces, zero_piece),
)
TEXT: tuple[Mutation, ...] = (
    *(odd_word, odd_word, shuffle_lines, shuffle_lines, other_encoding, flip_bits, cut_off),
)
