"""A daemon's side of falco.sock: binary frames, all integers little-endian.

    falco = await Falco.connect("/home/me/.unbound/falco.sock")
    ok, error = await falco.send(b'{"channel":"c","event":"e","payload":{"any":"JSON"}}')

Whatever was not acked with SUCCESS is the daemon's to send again.
"""

import asyncio
import struct
import uuid

HEADER = struct.Struct("<IBBH16sI")  # total_len, type, flags, reserved, effect_id, payload_len
SIDE_EFFECT = 0x03
PUBLISH_ACK = 0x04
SUCCESS = 0x01


class Falco:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._waiting: dict[bytes, asyncio.Future] = {}
        self._task = asyncio.create_task(self._read())

    @classmethod
    async def connect(cls, path: str) -> "Falco":
        return cls(*await asyncio.open_unix_connection(path))

    def send(self, payload: bytes) -> asyncio.Future:
        """Sends one side effect; the future yields (succeeded, reason)."""
        effect_id = uuid.uuid4().bytes
        header = HEADER.pack(24 + len(payload), SIDE_EFFECT, 0, 0, effect_id, len(payload))
        self._writer.write(header + payload)
        fate = asyncio.get_running_loop().create_future()
        self._waiting[effect_id] = fate
        return fate

    async def _read(self) -> None:
        try:
            while True:
                header = await self._reader.readexactly(HEADER.size)
                _, kind, status, _, effect_id, error_len = HEADER.unpack(header)
                error = await self._reader.readexactly(error_len)
                assert kind == PUBLISH_ACK
                self._waiting.pop(effect_id).set_result((status == SUCCESS, error.decode()))
        except asyncio.IncompleteReadError:
            for fate in self._waiting.values():
                fate.set_exception(ConnectionError("falco closed the connection"))

    async def close(self) -> None:
        self._task.cancel()
        self._writer.close()
