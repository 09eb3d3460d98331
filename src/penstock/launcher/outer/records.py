"""Outcome records: one append-only file per worker, written before anything is reported (semantics 20). A record is
the report's JSON behind its length and its CRC-32; a torn last record ends the file.

Reports travel to the controller in frames of the same kind: a mark, length, how far the file of records reaches, JSON."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from pathlib import Path
from zlib import crc32

_RECORD = struct.Struct("<II")
_FRAME = struct.Struct("<IIQ")
_MARK = 0x4B545350
FRAME_HEADER_BYTES = _FRAME.size


class Garbled(Exception):
    """A worker's socket or file holds what no worker of ours writes."""


def record_of(payload: bytes) -> bytes:
    return _RECORD.pack(len(payload), crc32(payload)) + payload


def read_records(path: Path, *, offset: int = 0, end: int | None = None) -> list[bytes]:
    """The payloads of whole records from `offset` on (to `end`, if given). A file that isn't there has none."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read() if end is None else file.read(max(0, end - offset))
    except FileNotFoundError:
        return []
    payloads, position = [], 0
    while position + _RECORD.size <= len(data):
        length, crc = _RECORD.unpack_from(data, position)
        payload = data[position + _RECORD.size : position + _RECORD.size + length]
        if len(payload) < length or crc32(payload) != crc:
            break
        payloads.append(payload)
        position += _RECORD.size + length
    return payloads


def append_record(fd: int, payload: bytes, *, end: int, durable: bool) -> int:
    """Append to the file of records, which is `end` bytes long; its new length. `durable`: it survives a power cut
    from here on. What user code wrote to it goes first. Raises OSError (disk full), and the file is then as it was."""
    record = record_of(payload)
    written = 0
    try:
        if os.fstat(fd).st_size != end:
            os.ftruncate(fd, end)
        while written < len(record):
            written += os.write(fd, record[written:] if written else record)
        if durable:
            getattr(os, "fdatasync", os.fsync)(fd)
    except OSError:
        os.ftruncate(fd, end)
        raise
    return end + len(record)


def sync_folder(path: str) -> None:
    """Have the names in a folder survive a power cut."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def frame_of(payload: bytes, *, recorded_bytes: int) -> bytes:
    return _FRAME.pack(_MARK, len(payload), recorded_bytes) + payload


class Frames:
    """Cuts what arrives on a stream into frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(bytes recorded so far, JSON) of every frame that is whole now. Raises Garbled where something else comes."""
        buffer = self._buffer
        if not buffer and len(data) >= FRAME_HEADER_BYTES:
            mark, length, recorded = _FRAME.unpack_from(data)
            if mark == _MARK and len(data) == FRAME_HEADER_BYTES + length:
                yield recorded, data[FRAME_HEADER_BYTES:]
                return
        buffer += data
        while len(buffer) >= FRAME_HEADER_BYTES:
            mark, length, recorded = _FRAME.unpack_from(buffer)
            if mark != _MARK:
                raise Garbled(f"not a frame: {bytes(buffer[:40])!r}")
            until = FRAME_HEADER_BYTES + length
            if len(buffer) < until:
                return
            payload = bytes(memoryview(buffer)[FRAME_HEADER_BYTES:until])
            del buffer[:until]
            yield recorded, payload
