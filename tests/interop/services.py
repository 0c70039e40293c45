"""Answers the streams that the other side opens, as SPEC chapter 7 says."""

import ipaddress

import frames
import messages
from errors import SpecError


class Services:
    """What one peer serves on all of its connections, and what it was asked."""

    def __init__(self):
        self.messages = []
        self.reach_asked = []  # the ids that others asked about
        self.reach = lambda peer: messages.Reached("not_connected")

    def serve(self, connection, source):
        """Answers every stream whose request is there whole."""
        for stream in list(connection.streams.values()):
            ours = stream.number % 2 == int(not connection.is_dialer)
            if not (ours or stream.fin or stream.fin_sent) and stream.inflow.finished:
                self._answer(connection, source, stream)

    def _answer(self, connection, source, stream):
        try:
            reply = self._reply(stream, source)
        except SpecError as error:
            names = {"too_large": "frame_too_large", "unknown_protocol": "unknown_protocol"}
            name = names.get(error.kind) or frames.code_of_body_error(error.kind)
            connection.refuse(stream, frames.STREAM[name])
            return
        connection.write(stream, reply and frames.encode_frame(reply), fin=True)

    def _reply(self, stream, source):
        reader = frames.FrameReader(stream.data)
        header = reader.next(frames.HEADER_LIMIT)
        if header is None:
            raise SpecError("truncated")
        protocol = frames.decode_header(header)
        if protocol == "drain/1":
            return b""
        if protocol not in messages.PROTOCOLS:
            raise SpecError("unknown_protocol")
        limit = messages.PROTOCOLS[protocol].request
        body = reader.next(limit)
        if body is None or reader.next(limit) is not None:
            raise SpecError("frames")
        return getattr(self, "_" + protocol.split("/")[0])(body, source)

    def _ping(self, body, _):
        return messages.Ping.decode(body).encode()

    def _identify(self, body, source):
        messages.IdentifyRequest.decode(body)
        observed = (ipaddress.ip_address(source[0]), source[1])
        return messages.IdentifyReply(
            "interop", observed, [], sorted(messages.PROTOCOLS)
        ).encode()

    def _message(self, body, _):
        request = messages.MessageRequest.decode(body)
        self.messages.append(request)
        return messages.MessageReply(request.id).encode()

    def _reach(self, body, _):
        peer = messages.Reach.decode(body).peer
        self.reach_asked.append(peer)
        return self.reach(peer).encode()
