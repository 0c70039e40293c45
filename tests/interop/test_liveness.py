"""SPEC chapter 10 and reach/1 against the real program, with its default times.

What takes long goes on side by side: one scene of 41 s, which every test of the class looks at.
"""

import threading
import time
import unittest

import cases
import driver
import identity
import liveness
import messages
import program
import responder
import scene
import test_vectors

END = 41.0  # seconds
ANNOUNCED = 5
INTERVAL = 18  # of the preset `normal`
GONE = 1.0  # when some peers fall silent
AT_MOST = 30.0  # seconds from then until they have failed
WRITTEN = 0.5  # seconds, at most, from what happens to the time in its event
NOBODY = identity.Key.new().peer_id


class SideBySide(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.scene = scene.Scene()
        cls.nodes = []
        cls.main, cls.lonely, cls.mum, cls.sending, cls.many = (cls.node() for _ in range(5))
        cls.dialer, (cls.answers, cls.stops) = cls.dialing(2)
        cls.rebinder, (cls.sees,) = cls.dialing(1)
        cls.steady = []  # dialers that announce an interval and keep to it
        cls.scene.every(4, END, cls.beat)
        stories = (
            cls.quiet, cls.gone, cls.awaited, cls.witnessed, cls.dialed, cls.moves, cls.asks
        )
        for story in stories:
            story()
        cls.scene.begin()
        cls.scene.play(END)
        cls.peers = {}
        for node in cls.nodes:
            status, cls.peers[node], log = program.command("peers", data=node.data)
            assert status == 0, log
        cls.scene.play(END + 0.5)

    @classmethod
    def node(cls, *flags):
        node = program.Node("-v", *flags)
        cls.addClassCleanup(node.__exit__)
        cls.nodes.append(node)
        return node

    @classmethod
    def dial(cls, node, announced=None):
        """A dialer; the first heartbeat announces its interval."""
        link = driver.dial(
            identity.Key.new(), node.peer_id, cases.PUBLIC, node.host, node.port
        )
        cls.addClassCleanup(link.__exit__)
        link.establish()
        link.born = time.monotonic()
        link.peer = identity.encode(link.connection.noise.key.peer_id)
        if announced is not None:
            beat(link, announced)
        return cls.scene.add(link)

    @classmethod
    def keeping(cls, node):
        """A dialer that keeps to the interval that it announces."""
        link = cls.dial(node, ANNOUNCED)
        cls.steady.append(link)
        return link

    @classmethod
    def beat(cls):
        for link in cls.steady:
            beat(link, ANNOUNCED)

    @classmethod
    def dialing(cls, count):
        """A node that dials so many responders of ours, and these."""
        servers = []
        for _ in range(count):
            server = responder.Responder(identity.Key.new(), cases.PUBLIC)
            cls.addClassCleanup(server.socket.close)
            server.peer = identity.encode(server.key.peer_id)
            servers.append(cls.scene.add(server))
        flags, started = [], []
        for server in servers:
            flags += ["--peer", "{}@{}:{}".format(server.peer, *server.address)]
        thread = threading.Thread(target=lambda: started.append(cls.node(*flags)))
        thread.start()
        cls.scene.wait(lambda: not thread.is_alive(), 20)
        cls.scene.wait(lambda: all(s.connections and s.first.confirmed for s in servers))
        return started[0], servers

    @classmethod
    def mute(cls, peer):
        """From `GONE` on the peer reads and answers nothing, not even with an ACK."""
        cls.scene.at(GONE, lambda: setattr(peer, "mute", True))

    # What happens ------------------------------------------------------------------------------

    @classmethod
    def quiet(cls):
        cls.still = cls.dial(cls.main)
        cls.keeps = cls.keeping(cls.main)
        cls.noisy = cls.dial(cls.main, 60)
        cls.scene.at(1, lambda: [send(cls.noisy, payload) for payload in nonsense()])
        cls.scene.at(2, lambda: setattr(cls, "after", cls.noisy.begin("ping/1", b"noisy 12")))

    @classmethod
    def gone(cls):
        cls.returns = cls.dial(cls.lonely, ANNOUNCED)
        cls.mute(cls.returns)
        cls.scene.at(30, lambda: setattr(cls.returns, "mute", False))
        cls.announces_nothing = cls.dial(cls.mum)
        cls.mute(cls.announces_nothing)

    @classmethod
    def awaited(cls):
        cls.owes = cls.dial(cls.sending, 60)
        cls.mute(cls.owes)
        words = ("send", cls.owes.peer, "--", "are you there?")
        sender = threading.Thread(
            target=program.command, args=words, kwargs={"data": cls.sending.data, "seconds": 60}
        )
        cls.scene.at(GONE + 1, sender.start)
        cls.addClassCleanup(lambda: sender.join())

    @classmethod
    def witnessed(cls):
        cls.cut = cls.dial(cls.many, ANNOUNCED)
        cls.hears, cls.knows_not = cls.keeping(cls.many), cls.keeping(cls.many)
        cls.hears.services.reach = lambda _: messages.Reached("heard", 7)
        cls.mute(cls.cut)

    @classmethod
    def dialed(cls):
        cls.mute(cls.stops)
        cls.scene.at(1, lambda: [send(cls.answers, payload) for payload in nonsense()])

    @classmethod
    def moves(cls):
        cls.mover = cls.dial(cls.main, 12)
        other = driver.Link(None, cls.main.host, cls.main.port)

        def move():
            cls.mover.socket, other.socket = other.socket, cls.mover.socket
            beat(cls.mover, 12)

        cls.addClassCleanup(lambda: other.socket.close())
        cls.scene.at(11, move)
        cls.scene.every(10, END, lambda: beat(cls.mover, 12) if cls.scene.now > 15 else None)
        cls.scene.at(INTERVAL + 1, lambda: send(cls.sees, liveness.Rebound().encode()))

    @classmethod
    def asks(cls):
        cls.asked_about = cls.keeping(cls.main)
        cls.deaf = cls.dial(cls.main, 60)
        cls.mute(cls.deaf)
        cls.askers = [cls.dial(cls.main, 60) for _ in range(4)]
        cls.answered = {}

        def ask(seconds, name, asker, *ids):
            cls.scene.at(
                seconds,
                lambda: cls.answered.setdefault(name, []).extend(
                    (asker, asker.begin("reach/1", messages.Reach(peer).encode())) for peer in ids
                ),
            )

        deaf = identity.parse(cls.deaf.peer)
        ask(2, "heard", cls.askers[0], identity.parse(cls.asked_about.peer))
        itself = identity.parse(cls.askers[0].peer)
        ask(2, "themselves", cls.askers[0], itself, cls.main.peer_id)
        ask(2, "budget of one", cls.askers[1], *[NOBODY] * 4)
        ask(4, "budget of one later", cls.askers[1], NOBODY)
        ask(6, "budget of all", cls.askers[2], *[deaf] * 3)
        ask(6, "budget of all", cls.askers[3], *[deaf] * 3)
        cls.scene.at(7.2, lambda: setattr(cls, "waiting", cls.unanswered("budget of all")))

    @classmethod
    def unanswered(cls, name):
        return sum(not stream.done for _, stream in cls.answered[name])

    # What came of it ---------------------------------------------------------------------------

    def states(self, node, peer):
        """(seconds, state, event) of each event about a peer."""
        return [
            (event["t"] / 1000 - self.scene.began_unix, event["state"], event)
            for event in node.seen
            if event["event"] == "peer" and event["peer"] == peer.peer
        ]

    def stayed(self, node, peer):
        """Connected from the start to the end, as the program sees it."""
        seen = [state for _, state, _ in self.states(node, peer) if state != "connecting"]
        self.assertEqual(seen, ["connected"])
        listed = [one["state"] for one in self.peers[node] if one["peer"] == peer.peer]
        self.assertEqual(listed, ["connected"])

    def failed(self, node, peer, reason, suspect, failed, at_most=AT_MOST):
        """Suspect and failed so many seconds after the connection at the soonest, and in time.

        The event of the latter.
        """
        seen = [one for one in self.states(node, peer) if one[1] != "connecting"]
        self.assertEqual([state for _, state, _ in seen[:3]], ["connected", "suspect", "failed"])
        (began, _, _), (first, _, _), (second, _, event) = seen[:3]
        self.assertGreaterEqual(first - began, suspect - WRITTEN)
        self.assertGreaterEqual(second - began, failed - WRITTEN)
        self.assertLess(second - GONE, at_most)
        self.assertEqual(event["reason"], reason)
        return event

    def beats(self, peer):
        """(seconds, announced) of each heartbeat that the program sent."""
        found = []
        for when, payload in peer.first.datagrams:
            message = liveness.decode(payload)
            if isinstance(message, liveness.Heartbeat):
                found.append((when - self.scene.began, message.seconds))
        return found

    def first_beat(self, link):
        """Seconds from the handshake to the program's first heartbeat."""
        return link.first.datagrams[0][0] - link.born

    def test_a_dialer_that_only_acknowledges_stays(self):
        self.stayed(self.main, self.still)
        self.assertGreater(self.first_beat(self.still), INTERVAL)

    def test_a_dialer_that_keeps_its_interval_is_not_asked(self):
        self.stayed(self.main, self.keeps)
        self.assertEqual(self.beats(self.keeps), [])
        connection = self.keeps.first
        self.assertGreater(connection.datagrams_sent, 8)
        self.assertGreaterEqual(connection.datagrams_acked, connection.datagrams_sent - 1)

    def test_an_acceptor_that_only_acknowledges_stays(self):
        self.stayed(self.dialer, self.answers)
        beats = self.beats(self.answers)
        self.assertLess(beats[0][0], 1, "the first announces the interval")
        self.assertEqual({announced for _, announced in beats}, {INTERVAL})
        self.assertEqual(len(beats), 3)

    def test_a_dialer_that_is_gone(self):
        self.failed(self.lonely, self.returns, "silent", ANNOUNCED + 5, ANNOUNCED + 10)
        self.assertGreater(self.first_beat(self.returns), ANNOUNCED)

    def test_a_dialer_that_is_gone_and_had_announced_nothing(self):
        self.failed(self.mum, self.announces_nothing, "silent", INTERVAL + 5, INTERVAL + 10)
        self.assertGreater(self.first_beat(self.announces_nothing), INTERVAL + 2)

    def test_a_dialer_that_is_gone_when_something_waits(self):
        self.failed(self.sending, self.owes, "silent", 2, 4.4, at_most=1 + 5)

    def test_who_is_heard_again_is_connected_again(self):
        when, state, event = self.states(self.lonely, self.returns)[-1]
        self.assertEqual((state, event["reason"]), ("connected", "heard"))
        self.assertGreater(when, 30)
        self.assertIsNone(self.returns.first.closed)

    def test_an_acceptor_that_is_gone(self):
        self.failed(self.dialer, self.stops, "silent", INTERVAL + 3, INTERVAL + 10)
        self.assertEqual(self.answers.services.reach_asked, [self.stops.key.peer_id])

    def test_witnesses_are_asked_and_named(self):
        event = self.failed(self.many, self.cut, "unreachable", ANNOUNCED + 5, ANNOUNCED + 20)
        self.assertEqual(event["reached_by"], [self.hears.peer])
        about = identity.parse(self.cut.peer)
        for witness in (self.hears, self.knows_not):
            self.assertEqual(witness.services.reach_asked, [about])
            self.stayed(self.many, witness)

    def test_datagrams_that_nobody_knows_are_ignored(self):
        self.stayed(self.main, self.noisy)
        self.assertEqual(self.noisy.reply(self.after, messages.NONCE), b"noisy 12")
        self.stayed(self.dialer, self.answers)
        for peer in (self.noisy, self.answers):
            self.assertEqual(peer.first.datagrams_acked, peer.first.datagrams_sent)

    def test_a_dialer_that_moved_is_told(self):
        self.stayed(self.main, self.mover)
        payloads = [payload for _, payload in self.mover.first.datagrams]
        self.assertEqual(payloads, [liveness.Rebound().encode()])

    def test_a_dialer_that_is_told_of_a_move_speaks_sooner(self):
        beats = self.beats(self.sees)
        self.assertEqual([announced for _, announced in beats[:2]], [INTERVAL] * 2)
        announced = beats[2][1]
        self.assertIn(announced, (14, 15), "three quarters of 18 s and a little, rounded up")
        self.assertLess(beats[2][0] - beats[1][0], announced + 2)

    def test_reach(self):
        self.assertEqual(self.replies("heard"), ["heard"])
        self.assertEqual(len(self.beats(self.asked_about)), 1)
        self.assertEqual(self.replies("themselves"), 2 * ["not_connected"])
        self.assertEqual(self.replies("budget of one"), ["busy"] + 3 * ["not_connected"])
        self.assertEqual(self.replies("budget of one later"), ["not_connected"])
        self.assertEqual(self.replies("budget of all"), 2 * ["busy"] + 4 * ["silent"])
        self.assertGreaterEqual(self.waiting, 4, "silence takes 1.5 s to tell")
        self.assertGreaterEqual(len(self.beats(self.deaf)), 1)
        self.assertIsNone(self.deaf.first.closed)

    def replies(self, name):
        answers = []
        for asker, stream in self.answered[name]:
            body = asker.reply(stream, messages.REACH_REPLY_LIMIT)
            answers.append(messages.Reached.decode(body).answer)
        return sorted(answers)


def send(peer, payload):
    peer.first.send_datagram(payload)


def beat(link, seconds):
    send(link, liveness.Heartbeat(seconds).encode())


def nonsense():
    """What must be ignored: the vectors, and more."""
    cases_ignored = test_vectors.load("liveness.json")["ignored"]
    payloads = [test_vectors.unhex(case["payload"]) for case in cases_ignored]
    return payloads + [bytes([kind]) + bytes(900) for kind in (0x00, 0x01, 0x02, 0x7F, 0xFF)]


if __name__ == "__main__":
    unittest.main()
