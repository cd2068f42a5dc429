"""Damage to MPEG transport streams, packet by packet (ISO/IEC 13818-1: 188 bytes each)."""

from __future__ import annotations

PACKET = 188
VIDEO = 0x100
"""The video's packet identifier in what libav writes."""


def packets(content: bytes) -> list[bytes]:
    """The packets of a transport stream."""
    return [content[at : at + PACKET] for at in range(0, len(content), PACKET)]


def is_video(packet: bytes) -> bool:
    """Whether it carries a piece of the video."""
    return (packet[1] & 0x1F) << 8 | packet[2] == VIDEO


def begins_frame(packet: bytes) -> bool:
    """Whether a frame begins in it."""
    return is_video(packet) and bool(packet[1] & 0x40)


def without(content: bytes, index: int) -> bytes:
    """The stream without its packet of that number."""
    return content[: index * PACKET] + content[(index + 1) * PACKET :]
