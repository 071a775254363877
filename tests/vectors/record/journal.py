#!/usr/bin/env python3
"""Writes tests/vectors/journal: one segment, line by line as the format's
table says, with a CRC-32C of its own (bit by bit)."""

import json
import pathlib

OUT = pathlib.Path(__file__).resolve().parent.parent / "journal"
SALT = 0x0123456789ABCDEF
SEGMENT = "6f1d0000-0000-4000-8000-000000000001"


def crc32c(data, crc=0):
    crc ^= 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


assert crc32c(b"123456789") == 0xE3069283


def line(q, kind, uuid, fields):
    body = '{"v":1,"q":"%016x","k":"%s","id":"%s"%s' % (q, kind, uuid, fields)
    body = body.encode()
    crc = crc32c(SALT.to_bytes(8, "little") + body)
    return body + b',"c":"%08x"}\n' % crc


def effect(i):
    return "00000000-0000-4000-8000-%012x" % i


header = ',"salt":"%016x","pq":"%016x","pc":"00000000","t":1800000000000,"s":"%016x","fmt":"falco-journal"'
lines = [
    line(1, "H", SEGMENT, header % (SALT, 0, 0)),
    line(2, "H", SEGMENT, header % (SALT, 0, 0)),
    line(3, "E", effect(1), ',"l":"s1","n":3,"t":1800000000001,"s":"0000000000000002","h":"00000000000000ff"'
         ',"ch":"session:s1:conversation","ev":"conversation.message.v1","p":{"text": "hi \\u2713", "n": 1.50}'),
    line(4, "E", effect(2), ',"l":"s1","n":4,"t":1800000000002,"r":"second","h":"0000000000000000"'
         ',"ku":"11111111-2222-4333-8444-555555555555","ch":"session:s1:conversation","ev":"message.v1","pb":"ewogfQ=="'),
    line(5, "E", effect(3), ',"l":"a \\"lane\\"","n":5,"t":1800000000003,"h":"0123456789abcdef"'
         ',"kg":"given","ch":"session:s1:status","ob":"state","p":[true]'),
    line(6, "E", effect(4), ',"l":"s2","n":6,"t":1800000000004,"h":"0000000000000001","ch":"c","ev":"e","p":null'),
    line(7, "D", effect(4), ',"t":1800000000005,"s":"0000000000000006"'),
    line(8, "F", effect(2), ',"t":1800000000006,"cls":"rejected","code":40160,"att":3,"err":"not \\"allowed\\""'),
    line(9, "D", effect(5), ',"t":1800000000007,"ids":["%s","%s"]' % (effect(5), effect(6))),
    line(10, "X", "99999999-0000-4000-8000-000000000000", ',"t":1800000000008,"note":"seen 12"'),
    line(11, "F", effect(3), ',"t":1800000000009,"cls":"ambiguous","att":25,"err":"no answer"'),
    line(12, "R", effect(3), ',"t":1800000000010,"op":"requeue"'),
    line(13, "Z", "00000000-0000-0000-0000-000000000000", ',"t":1800000000011,"s":"000000000000000c"'),
]
for text in lines:
    json.loads(text)
OUT.mkdir(exist_ok=True)
(OUT / "seg-0000000000000001.jsonl").write_bytes(b"".join(lines))
