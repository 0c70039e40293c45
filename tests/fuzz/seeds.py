#!/usr/bin/env python3
"""Writes seed corpora for the fuzz targets, from docs/vectors: seeds.py DIRECTORY"""

import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
VECTORS = HERE.parent.parent / "docs" / "vectors"


# One of each form that the control socket knows.
PEER = "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44"
CONTROL_LINES = [
    '{"do":"peers"}',
    '{"do":"ping","target":"x","count":null,"interval_ms":1000,"timeout_ms":10000,"first":1}',
    '{"do":"connect","target":"x","timeout_ms":10000}',
    '{"do":"send","target":"x","kind":"chat","body_b64":"aGk=","timeout_ms":10000}',
    '{"do":"change","changes":[{"allow":["%s"]},{"allow_learned":true}]}' % PEER,
    '{"do":"change","changes":[{"mode":"learn"}]}',
    '{"taken":true}',
    '{"answer":"pong","object":{"seq":1,"rtt_ms":0.25,"path":[null,"\\ud83d\\ude00"]}}',
    '{"error":{"kind":"usage","message":"why"}}',
]


def vectors(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def hexes(node, keys):
    """Every hexadecimal value under one of `keys`, at any depth."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key in keys and isinstance(value, str):
                yield bytes.fromhex(value)
            else:
                yield from hexes(value, keys)
    elif isinstance(node, list):
        for value in node:
            yield from hexes(value, keys)


def seeds():
    identity, addresses = vectors("identity"), vectors("addresses")
    streams, protocols, handshake = vectors("streams"), vectors("protocols"), vectors("handshake")

    for entry in identity["texts"] + identity["network_key_files"]:
        yield "peer_id", (entry.get("text") or entry.get("file") or "").encode()
    for entry in identity["keys"] + identity["bytes_refused"]:
        yield "peer_id", bytes.fromhex(entry["peer"])
    for entry in streams["protocol_names"]:
        yield "peer_id", entry["text"].encode()

    for entry in addresses["texts"]:
        yield "addr", entry["text"].encode()

    for entry in streams["frames"]:
        yield "stream", b"\x03" + bytes.fromhex(entry["stream"])
    for entry in streams["headers"]:
        if "frame_as_sent" in entry:
            yield "stream", b"\x05" + bytes.fromhex(entry["frame_as_sent"])
    for exchange in protocols["exchanges"]:
        yield "stream", b"\x07" + bytes.fromhex(exchange["stream_of_opening_side"])

    bodies = list(hexes(protocols, {"body", "request_body", "reply_body"}))
    bodies += list(hexes(addresses, {"body", "wire"}))
    for body in bodies:
        for kind in range(11):
            yield "body", bytes([kind]) + body

    for payload in hexes(vectors("liveness"), {"payload"}):
        yield "datagram", payload

    for line in CONTROL_LINES:
        yield "control", line.encode()

    for packet in hexes(handshake, {"protected", "payload", "header"}):
        yield "packet", packet
    for message in hexes(handshake, {"message", "body", "payload"}):
        yield "handshake_message", message

    # Scripts: an operation, its arguments, and so on.
    yield "gate", bytes([0, 1, 0, 5, 0, 2, 1, 0, 5, 0, 200, 6, 0, 0, 0, 7, 0, 0])
    yield "gate", bytes([0, 1, 0, 5, 0] * 6)
    yield "gate", bytes([8, 1, 0, 1, 3, 0, 0, 9, 9, 4, 0, 9] * 4)
    yield "handshake", bytes(12)
    yield "handshake", bytes([0x80] * 60)
    yield "handshake", bytes([2, 9, 1, 0, 4, 3, 1, 1, 1, 6])
    yield "paths", bytes([0, 4, 0, 1, 0, 0, 3, 0, 1, 2, 0, 0, 5, 4, 0, 6, 0, 0])
    yield "paths", bytes([0, 8, 0, 0, 3, 0, 1, 0, 0, 1, 1, 0, 5, 1, 0])


def main():
    directory = pathlib.Path(sys.argv[1])
    for target, seed in seeds():
        folder = directory / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)


main()
