"""Reproduces every vector of docs/vectors with this implementation.

A file, a list or a field that this program does not know fails the test: whoever adds vectors adds
the second implementation of them here.
"""

import hashlib
import json
import pathlib
import unittest

from aioquic.quic.crypto import CryptoContext

import addresses
import dht
import frames
import handshake
import identity
import liveness
import messages
import postcard
import quic
import records
from errors import SpecError

VECTORS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "vectors"


def load(name):
    with open(VECTORS / name, encoding="utf-8") as file:
        return json.load(file)


def unhex(text):
    return bytes.fromhex(text)


def labelled(label):
    """The key that the vectors call by a label, SPEC §1.7."""
    for number in range(64):
        seed = hashlib.sha256(f"pinhole vector {label} {number}".encode()).digest()
        try:
            return identity.Key.from_seed(seed)
        except SpecError:
            continue
    raise AssertionError("no seed of 64 fits")


class Files(unittest.TestCase):
    """Nothing in the folder is overlooked."""

    def test_every_file_has_its_reader(self):
        present = {str(p.relative_to(VECTORS)) for p in VECTORS.rglob("*") if p.is_file()}
        self.assertEqual(present, {reader.file for reader in READERS})

    def test_every_part_has_its_reader(self):
        for reader in READERS:
            with self.subTest(file=reader.file):
                self.assertEqual(set(load(reader.file)), reader.parts)


class Vectors(unittest.TestCase):
    """Base of the readers: the file and the parts that it must have."""

    file = None
    parts = set()

    @classmethod
    def setUpClass(cls):
        cls.data = load(cls.file)

    def cases(self, part, *shapes):
        """Each case of a part as a subtest; its fields must be one of `shapes`."""
        known = [set(shape.split()) for shape in shapes]
        self.assertTrue(self.data[part], f"{part} is empty")
        for number, case in enumerate(self.data[part]):
            with self.subTest(part=part, number=number, why=case.get("why")):
                self.assertIn(set(case), known, "a kind of case that this program does not know")
                yield case

    def refused(self, case, function, value):
        """The error, and the stream code that reports it, are those of the vector."""
        with self.assertRaises(SpecError) as caught:
            function(value)
        self.assertEqual(caught.exception.kind, case["error"])
        if "code" in case:
            self.assertEqual(frames.code_of_body_error(case["error"]), case["code"])

    def shape(self, value, fields):
        self.assertEqual(set(value), set(fields.split()))


class Handshake(Vectors):
    file = "handshake.json"
    parts = {"chapter", "early_parameters", "handshakes", "label", "noise"}

    def test_names(self):
        self.assertEqual(self.data["label"].encode(), handshake.LABEL)
        self.assertEqual(self.data["noise"].encode(), handshake.NOISE_NAME)
        self.assertEqual(unhex(self.data["early_parameters"]), handshake.EARLY_FLOOR)

    def test_handshakes(self):
        fields = (
            "accept confirm dialer dialer_ap dialer_ap_after_update dialer_hs early exporter hello"
            " h1 h2 k1 k2 main initial name network_key packets prologue quic_version reply"
            " responder responder_ap responder_ap_after_update responder_hs retry"
        )
        optional = {"h1", "h2", "k1", "k2", "main"}
        self.assertTrue(self.data["handshakes"])
        for case in self.data["handshakes"]:
            with self.subTest(name=case["name"]):
                self.assertEqual(set(case) | optional, set(fields.split()))
                self.one(case)

    def one(self, case):
        network_key = unhex(case["network_key"])
        version = int(case["quic_version"], 16)
        self.assertEqual(identity.Network(network_key).version, version)
        dialer_key = self.key(case["dialer"])
        responder_key = self.key(case["responder"])
        self.assertEqual(
            handshake.prologue(version, responder_key.peer_id), unhex(case["prologue"])
        )
        dialer = handshake.Dialer(
            dialer_key,
            responder_key.peer_id,
            network_key,
            version,
            ephemeral=unhex(case["dialer"]["ephemeral_private"]),
        )
        responder = handshake.Responder(
            responder_key,
            network_key,
            version,
            ephemeral=unhex(case["responder"]["ephemeral_private"]),
        )
        self.messages(case, dialer, responder)
        self.secrets(case, dialer)
        self.initial(case, network_key, responder_key.peer_id)
        self.packets(case)

    def key(self, case):
        self.shape(case, "ephemeral_private peer_id seed static_private static_public")
        key = identity.Key.from_seed(unhex(case["seed"]))
        self.assertEqual(identity.encode(key.peer_id), case["peer_id"])
        self.assertEqual(key.x25519_private, unhex(case["static_private"]))
        self.assertEqual(identity.x25519_public(key.peer_id), unhex(case["static_public"]))
        return key

    def messages(self, case, dialer, responder):
        hello = case["hello"]
        self.shape(hello, "body counter early_secret message payload suites transport_parameters")
        payload = handshake.HelloPayload(
            peer_id=dialer.key.peer_id,
            counter=hello["counter"],
            early_secret=unhex(hello["early_secret"]),
            suites=hello["suites"],
            parameters=unhex(hello["transport_parameters"]),
        )
        self.assertEqual(payload.encode(), unhex(hello["payload"]))
        message = dialer.write_hello(payload)
        self.assertEqual(message, unhex(hello["message"]))
        self.assertEqual(responder.read_hello(unhex(hello["body"])), payload)
        self.assertEqual(responder.early, dialer.early)

        self.shape(case["reply"], "body message")
        self.assertEqual(responder.write_reply(), unhex(case["reply"]["message"]))
        dialer.read_reply(unhex(case["reply"]["body"]))
        self.assertEqual(responder.schedule, dialer.schedule)

        accept = case["accept"]
        self.shape(accept, "body early_data message suite transport_parameters")
        read = dialer.read_accept(unhex(accept["body"]))
        self.assertEqual((read.suite, read.early), (accept["suite"], accept["early_data"]))
        self.assertEqual(read.parameters, unhex(accept["transport_parameters"]))
        self.assertEqual(read.encode(), unhex(accept["body"]))
        self.message(handshake.ACCEPT, accept["body"], accept["message"])

        self.shape(case["confirm"], "message")
        self.message(handshake.CONFIRM, "", case["confirm"]["message"])

    def message(self, kind, body, message):
        self.assertEqual(handshake.encode_message(kind, unhex(body)), unhex(message))
        read = handshake.decode_messages(unhex(message))
        self.assertEqual(read, ([(kind, unhex(body))], len(unhex(message))))

    def secrets(self, case, dialer):
        schedule, suite = dialer.schedule, case["accept"]["suite"]
        inner = {"h1": dialer.h1, "h2": dialer.h2, "k1": dialer.k1, "k2": dialer.k2}
        for name, value in {**inner, "main": schedule.main}.items():
            if name in case:
                self.assertEqual(value, unhex(case[name]), name)
        chacha = handshake.CHACHA20_POLY1305
        self.protection(case["early"], dialer.early, chacha)
        self.protection(case["dialer_hs"], schedule.dialer_hs, chacha)
        self.protection(case["responder_hs"], schedule.responder_hs, chacha)
        for name in ("dialer_ap", "responder_ap"):
            secret = getattr(schedule, name)
            self.protection(case[name], secret, suite)
            self.protection(case[name + "_after_update"], handshake.next_secret(secret), suite)
        exporter = case["exporter"]
        self.shape(exporter, "context label length output secret")
        self.assertEqual(schedule.exporter, unhex(exporter["secret"]))
        output = handshake.export(
            schedule.exporter,
            exporter["label"].encode(),
            unhex(exporter["context"]),
            exporter["length"],
        )
        self.assertEqual(output, unhex(exporter["output"]))

    def protection(self, case, secret, suite):
        self.assertLessEqual(set(case), {"hp", "iv", "key", "secret"})
        self.assertGreaterEqual(set(case), {"iv", "key", "secret"})
        self.assertEqual(secret, unhex(case["secret"]))
        key, iv, hp = handshake.packet_keys(secret, suite)
        self.assertEqual((key, iv), (unhex(case["key"]), unhex(case["iv"])))
        if "hp" in case:
            self.assertEqual(hp, unhex(case["hp"]))

    def initial(self, case, network_key, responder_id):
        self.shape(case["initial"], "dcid dialer responder")
        salt = handshake.initial_salt(network_key, responder_id)
        dcid = unhex(case["initial"]["dcid"])
        dialer, responder = handshake.initial_secrets(salt, dcid)
        self.protection(case["initial"]["dialer"], dialer, handshake.CHACHA20_POLY1305)
        self.protection(case["initial"]["responder"], responder, handshake.CHACHA20_POLY1305)
        retry = case["retry"]
        self.shape(retry, "key nonce original_dcid packet tag")
        self.assertEqual(handshake.retry_keys(salt), (unhex(retry["key"]), unhex(retry["nonce"])))
        tag = handshake.retry_tag(salt, unhex(retry["original_dcid"]), unhex(retry["packet"]))
        self.assertEqual(tag, unhex(retry["tag"]))

    def packets(self, case):
        secrets = {
            "initial": (case["initial"]["dialer"], handshake.CHACHA20_POLY1305),
            "0-rtt": (case["early"], handshake.CHACHA20_POLY1305),
            "handshake": (case["dialer_hs"], handshake.CHACHA20_POLY1305),
            "1-rtt": (case["dialer_ap"], case["accept"]["suite"]),
        }
        self.assertEqual([p["type"] for p in case["packets"]], list(secrets))
        for packet in case["packets"]:
            with self.subTest(type=packet["type"]):
                self.shape(packet, "header number payload protected type")
                keys, suite = secrets[packet["type"]]
                context = CryptoContext()
                context.setup(
                    cipher_suite=quic.SUITES[suite], secret=unhex(keys["secret"]), version=1
                )
                header, payload = unhex(packet["header"]), unhex(packet["payload"])
                protected = context.encrypt_packet(header, payload, packet["number"])
                self.assertEqual(protected, unhex(packet["protected"]))
                length = (header[0] & 3) + 1
                opened = context.decrypt_packet(
                    protected, len(header) - length, packet["number"]
                )
                self.assertEqual(opened[:3], (header, payload, packet["number"]))


class Identity(Vectors):
    file = "identity.json"
    parts = {
        "spec", "keys", "bytes_refused", "seeds_refused", "texts",
        "network_keys", "network_key_files", "signatures_refused",
    }

    def test_keys(self):
        fields = "seed peer text noise_private noise_public message signature"
        for case in self.cases("keys", fields):
            key = identity.Key.from_seed(unhex(case["seed"]))
            self.assertEqual(key.peer_id, unhex(case["peer"]))
            self.assertEqual(identity.parse_bytes(key.peer_id), key.peer_id)
            self.assertEqual(identity.encode(key.peer_id), case["text"])
            self.assertEqual(identity.parse(case["text"]), key.peer_id)
            self.assertEqual(key.x25519_private, unhex(case["noise_private"]))
            self.assertEqual(key.x25519_public(), unhex(case["noise_public"]))
            self.assertEqual(identity.x25519_public(key.peer_id), unhex(case["noise_public"]))
            message, signature = unhex(case["message"]), unhex(case["signature"])
            self.assertEqual(key.sign(message), signature)
            self.assertTrue(identity.verify(key.peer_id, message, signature))

    def test_labelled_keys(self):
        """SPEC §1.7 says where the seeds of the vectors come from."""
        seeds = {case["seed"] for case in self.data["keys"]}
        self.assertIn(labelled("alice").seed.hex(), seeds)

    def test_bytes_refused(self):
        for case in self.cases("bytes_refused", "peer error stage why"):
            peer = unhex(case["peer"])
            if case["stage"] == "parse":
                self.refused(case, identity.parse_bytes, peer)
            else:
                self.assertEqual(case["stage"], "first_use")
                self.assertEqual(identity.parse_bytes(peer), peer)
                self.refused(case, identity.check_first_use, peer)

    def test_seeds_refused(self):
        for case in self.cases("seeds_refused", "seed error"):
            self.refused(case, identity.Key.from_seed, unhex(case["seed"]))

    def test_texts(self):
        for case in self.cases("texts", "text peer", "text error"):
            if "error" in case:
                self.refused(case, identity.parse, case["text"])
            else:
                self.assertEqual(identity.parse(case["text"]), unhex(case["peer"]))

    def test_network_keys(self):
        for case in self.cases("network_keys", "key public quic_version"):
            network = identity.Network(unhex(case["key"]))
            self.assertEqual(network.is_public, case["public"])
            self.assertEqual(network.version, int(case["quic_version"], 16))

    def test_network_key_files(self):
        for case in self.cases("network_key_files", "file key", "file error"):
            if "error" in case:
                self.refused(case, identity.Network.from_file_text, case["file"])
            else:
                network = identity.Network.from_file_text(case["file"])
                self.assertEqual(network.key, unhex(case["key"]))

    def test_signatures_refused(self):
        for case in self.cases("signatures_refused", "peer message signature why"):
            parts = (case["peer"], case["message"], case["signature"])
            self.assertFalse(identity.verify(*map(unhex, parts)))


class Addresses(Vectors):
    file = "addresses.json"
    parts = {"spec", "texts", "candidates_refused"}

    def test_texts(self):
        for case in self.cases("texts", "text error", "text canonical peer candidates wire"):
            if "error" in case:
                self.refused(case, addresses.parse, case["text"])
                continue
            address = addresses.parse(case["text"])
            self.assertEqual(str(address), case["canonical"])
            self.assertEqual(addresses.parse(case["canonical"]), address)
            self.assertEqual(identity.encode(address.peer_id), case["peer"])
            self.assertEqual([str(c) for c in address.candidates], case["candidates"])
            self.assertEqual(address.encode(), unhex(case["wire"]))
            wire = postcard.decode(unhex(case["wire"]), addresses.read_peer_addr)
            self.assertEqual(wire, address)

    def test_candidates_refused(self):
        for case in self.cases("candidates_refused", "body error why"):
            self.refused(
                case, lambda body: postcard.decode(body, addresses.read_candidate),
                unhex(case["body"]),
            )


class Streams(Vectors):
    file = "streams.json"
    parts = {
        "spec", "encoding", "encoding_refused", "lengths", "frames", "header_limit", "headers",
        "protocol_names", "stream_codes", "close_codes",
    }

    # type -> (encode, decode), over the values as JSON has them
    TYPES = {
        "bool": (lambda v: bytes([v]), lambda r: r.flag()),
        "u8": (lambda v: bytes([v]), lambda r: r.u8()),
        "u16": (postcard.varint, lambda r: r.varint(16)),
        "u32": (postcard.varint, lambda r: r.varint(32)),
        "u64": (postcard.varint, lambda r: r.varint(64)),
        "i32": (lambda v: postcard.varint(postcard.zigzag(v)), lambda r: r.zigzag(32)),
        "i64": (lambda v: postcard.varint(postcard.zigzag(v)), lambda r: r.zigzag(64)),
        "text": (postcard.text, lambda r: r.text()),
        "list of u16": (
            lambda v: postcard.sequence([postcard.varint(e) for e in v]),
            lambda r: r.sequence(lambda r: r.varint(16)),
        ),
        "4 bytes": (bytes, lambda r: list(r.take(4))),
        "optional u16": (
            lambda v: b"\x00" if v is None else b"\x01" + postcard.varint(v),
            lambda r: r.optional(lambda r: r.varint(16)),
        ),
    }

    def test_encoding(self):
        for case in self.cases("encoding", "type value hex"):
            encode, element = self.TYPES[case["type"]]
            self.assertEqual(encode(case["value"]), unhex(case["hex"]))
            self.assertEqual(postcard.decode(unhex(case["hex"]), element), case["value"])

    def test_encoding_refused(self):
        for case in self.cases("encoding_refused", "type hex error"):
            element = self.TYPES[case["type"]][1]
            self.refused(case, lambda body: postcard.decode(body, element), unhex(case["hex"]))

    def test_lengths(self):
        for case in self.cases("lengths", "length hex"):
            self.assertEqual(frames.encode_length(case["length"]), unhex(case["hex"]))

    def test_frames(self):
        for case in self.cases("frames", "stream limit frames error"):
            reader, bodies, error = frames.FrameReader(unhex(case["stream"])), [], None
            try:
                while (body := reader.next(case["limit"])) is not None:
                    bodies.append(body.hex())
            except SpecError as caught:
                error = {"kind": caught.kind, "code": frames.code_of_frame_error(caught.kind)}
            self.assertEqual(bodies, case["frames"])
            self.assertEqual(error, case["error"])
            if error is None:
                stream = b"".join(frames.encode_frame(unhex(body)) for body in bodies)
                self.assertEqual(stream, unhex(case["stream"]))

    def test_headers(self):
        self.assertEqual(self.data["header_limit"], frames.HEADER_LIMIT)
        for case in self.cases("headers", "body protocol frame_as_sent", "body error code"):
            body = unhex(case["body"])
            if "error" in case:
                self.refused(case, frames.decode_header, body)
                continue
            self.assertEqual(frames.decode_header(body), case["protocol"])
            sent = frames.encode_frame(frames.encode_header(case["protocol"]))
            self.assertEqual(sent, unhex(case["frame_as_sent"]))

    def test_protocol_names(self):
        for case in self.cases("protocol_names", "text name version", "text error"):
            if "error" in case:
                self.refused(case, frames.parse_protocol, case["text"])
            else:
                expected = (case["name"], case["version"])
                self.assertEqual(frames.parse_protocol(case["text"]), expected)

    def test_codes(self):
        for part, known in (
            ("stream_codes", frames.STREAM_CODES),
            ("close_codes", frames.CLOSE_CODES),
        ):
            listed = [
                (c["code"], c["name"], c["fault"]) for c in self.cases(part, "code name fault")
            ]
            self.assertEqual(listed, [(code, *rest) for code, rest in enumerate(known)])


class Protocols(Vectors):
    file = "protocols.json"
    parts = {"spec", "protocols", "exchanges", "refused"}

    def test_protocols(self):
        listed = {
            case["protocol"]: messages.Limits(
                case["request_limit"], case["reply_limit"], case["idempotent"]
            )
            for case in self.cases("protocols", "protocol request_limit reply_limit idempotent")
        }
        self.assertEqual(listed, messages.PROTOCOLS)

    def test_exchanges(self):
        fields = (
            "protocol request request_body reply reply_body"
            " stream_of_dialing_side stream_of_answering_side"
        )
        renamed = fields.replace("dialing", "opening")
        for case in self.cases("exchanges", fields, renamed):
            name = case["protocol"].split("/")[0]
            header = frames.encode_frame(frames.encode_header(case["protocol"]))
            opening = case.get("stream_of_opening_side") or case["stream_of_dialing_side"]
            request = self.body(case, name, "request")
            reply = self.body(case, name, "reply")
            self.assertEqual(header + frames.encode_frame(request), unhex(opening))
            self.assertEqual(frames.encode_frame(reply), unhex(case["stream_of_answering_side"]))
            limits = messages.PROTOCOLS[case["protocol"]]
            self.assertLessEqual(len(request), limits.request)
            self.assertLessEqual(len(reply), limits.reply)

    def body(self, case, name, part):
        body = unhex(case[part + "_body"])
        value = messages.TYPES[f"{name} {part}"].decode(body)
        self.assertEqual(value.as_json(), case[part])
        self.assertEqual(value.encode(), body)
        return body

    def test_refused(self):
        for case in self.cases("refused", "type body error code why"):
            self.refused(case, messages.TYPES[case["type"]].decode, unhex(case["body"]))


class Liveness(Vectors):
    file = "liveness.json"
    parts = {"spec", "datagrams", "ignored"}

    def test_datagrams(self):
        for case in self.cases("datagrams", "message payload"):
            payload = unhex(case["payload"])
            message = liveness.decode(payload)
            self.assertEqual(message.as_json(), case["message"])
            self.assertEqual(message.encode(), payload)

    def test_ignored(self):
        for case in self.cases("ignored", "payload error why"):
            self.refused(case, liveness.decode, unhex(case["payload"]))


class Dht(Vectors):
    file = "dht.json"
    parts = {"spec", "places", "protocols", "requests", "replies", "stored", "refused"}

    def test_places(self):
        for case in self.cases("places", "of peer place", "of peer name place", "of topic place"):
            place = {
                "peer": lambda c: records.place_of_peer(unhex(c["peer"])),
                "value": lambda c: records.place_of_value(unhex(c["peer"]), c["name"]),
                "topic": lambda c: records.place_of_topic(unhex(c["topic"])),
            }[case["of"]](case)
            self.assertEqual(place, unhex(case["place"]))

    def test_protocols(self):
        listed = {
            case["protocol"]: messages.Limits(
                case["request_limit"], case["reply_limit"], case["idempotent"]
            )
            for case in self.cases("protocols", "protocol request_limit reply_limit idempotent")
        }
        self.assertEqual(listed, dht.PROTOCOLS)

    def test_requests(self):
        for case in self.cases("requests", "body serves near want"):
            self.body(case, dht.FindRequest, {n: case[n] for n in ("serves", "near", "want")})

    def test_replies(self):
        for case in self.cases("replies", "body reply"):
            self.body(case, dht.Found, case["reply"])

    def test_stored(self):
        for case in self.cases("stored", "body stored"):
            self.body(case, dht.Stored, case["stored"])

    def body(self, case, kind, expected):
        body = unhex(case["body"])
        value = kind.decode(body)
        self.assertEqual(value.as_json(), expected)
        self.assertEqual(value.encode(), body)

    def test_refused(self):
        for case in self.cases("refused", "type body error code why"):
            self.refused(case, dht.TYPES[case["type"]].decode, unhex(case["body"]))


class Records(Vectors):
    file = "records.json"
    parts = {"spec", "record_limit", "records", "refused", "times"}

    def test_records(self):
        self.assertEqual(self.data["record_limit"], records.LIMIT)
        keys = {key.peer_id: key for key in map(labelled, ("alice", "bob"))}
        for case in self.cases("records", "body expires owner place record sequence"):
            data = unhex(case["record"])
            record = records.Record.decode(data)
            self.assertEqual(record.owner, unhex(case["owner"]))
            self.assertEqual(record.body.as_json(), case["body"])
            self.assertEqual((record.sequence, record.expires), (case["sequence"], case["expires"]))
            self.assertEqual(record.place, unhex(case["place"]))
            signed = records.Record.sign(
                keys[record.owner], record.body, record.sequence, record.expires
            )
            self.assertEqual(signed.encode(), data)

    def test_refused(self):
        for case in self.cases("refused", "error record why"):
            self.refused(case, records.Record.decode, unhex(case["record"]))

    def test_times(self):
        key = labelled("alice")
        for case in self.cases("times", "error expires now"):
            record = records.Record.sign(key, records.Value("", b""), 0, case["expires"])
            if case["error"] is None:
                record.check_time(case["now"])
            else:
                self.refused(case, record.check_time, case["now"])


READERS = [Identity, Addresses, Handshake, Streams, Protocols, Liveness, Dht, Records]


if __name__ == "__main__":
    unittest.main()
