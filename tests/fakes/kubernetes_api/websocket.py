"""As much of a WebSocket as `kubectl exec` needs: messages whose first byte is a channel, sub-protocol v4."""

from __future__ import annotations

import base64
import hashlib
import struct
from typing import BinaryIO

STDOUT, STDERR, STATUS = 1, 2, 3
PROTOCOL = "v4.channel.k8s.io"

_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE = 2, 8


def accept_key(key: str) -> str:
    """The answer to a client's key."""
    return base64.b64encode(hashlib.sha1(f"{key}{_GUID}".encode()).digest()).decode()


def send(stream: BinaryIO, channel: int, payload: bytes) -> None:
    """Sends a message on a channel."""
    _send_frame(stream, _BINARY, bytes([channel]) + payload)


def close(stream: BinaryIO) -> None:
    """Says that nothing more comes."""
    _send_frame(stream, _CLOSE, struct.pack("!H", 1000))


def receive(stream: BinaryIO) -> bytes:
    """The next message of the client, with its channel byte."""
    _, second = stream.read(2)
    length = second & 0x7F
    if length > 125:
        length = int.from_bytes(stream.read(2 if length == 126 else 8), "big")
    mask = stream.read(4) if second & 0x80 else bytes(4)
    return bytes(byte ^ mask[index % 4] for index, byte in enumerate(stream.read(length)))


def _send_frame(stream: BinaryIO, opcode: int, payload: bytes) -> None:
    size = len(payload)
    if size < 126:
        head = bytes([size])
    else:
        head = b"\x7e" + struct.pack("!H", size) if size < 1 << 16 else b"\x7f" + struct.pack("!Q", size)
    stream.write(bytes([0x80 | opcode]) + head + payload)
    stream.flush()
