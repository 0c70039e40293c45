"""What the tests against the real program share."""

import platform
import select
import unittest

from aioquic.buffer import Buffer, encode_uint_var

import driver
import identity
import program

PUBLIC = identity.Network.public()
SETTLE = 0.2  # seconds in which an answer that must not come would come


class Case(unittest.TestCase):
    """One node for the tests of a class, on the public network."""

    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.node = program.Node(*cls.flags)
        cls.addClassCleanup(cls.node.__exit__)

    def dial(self, key=None, network=PUBLIC, peer_id=None, **options):
        link = driver.dial(
            key or identity.Key.new(),
            peer_id or self.node.peer_id,
            network,
            self.node.host,
            self.node.port,
            **options,
        )
        self.addCleanup(link.__exit__)
        return link

    def connect(self, *arguments, **options):
        link = self.dial(*arguments, **options)
        link.establish()
        return link

    def silent(self, *links):
        """The node took what was sent before, and answered nothing.

        A handshake that completes shows that the node read its socket beyond what came before.
        """
        driver.ping(self.connect())
        sockets = [link.socket for link in links]
        readable, _, _ = select.select(sockets, [], [], SETTLE)
        self.assertEqual(readable, [], "an answer came where silence was due")


def raw_parameters(data):
    """Transport parameters by number."""
    buf, found = Buffer(data=data), {}
    while not buf.eof():
        number = buf.pull_uint_var()
        found[number] = buf.pull_bytes(buf.pull_uint_var())
    return found


def number(data):
    """The value of a transport parameter that is an integer."""
    return Buffer(data=data).pull_uint_var()


def padding(length):
    """A transport parameter that nobody knows, of this length in all."""
    rest = length - 4
    return encode_uint_var(0x1F1B) + (0x4000 | rest).to_bytes(2, "big") + bytes(rest)


def aes_in_hardware():
    if platform.machine() not in ("x86_64", "AMD64"):
        return platform.machine() in ("aarch64", "arm64")
    with open("/proc/cpuinfo", encoding="ascii", errors="replace") as file:
        return " aes " in file.read()


class Holder:
    """Something with a socket."""

    def __init__(self, held):
        self.socket = held


def drain(held):
    """Throws away what waits in a socket."""
    while select.select([held], [], [], 0.05)[0]:
        held.recv(65536)
