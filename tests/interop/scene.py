"""Several peers at once, moved by one thread, so that what is slow goes on side by side."""

import select
import time


class Scene:
    """Peers (`driver.Link`, `responder.Responder`) and what happens to them when."""

    def __init__(self):
        self.peers = []
        self._plan = []
        self._begun = False
        self.began, self.began_unix = time.monotonic(), time.time()

    def add(self, peer):
        self.peers.append(peer)
        return peer

    def at(self, seconds, action):
        """Plans this for so many seconds after `begin`."""
        self._plan.append((seconds, action))

    def every(self, seconds, until, action):
        """Plans this for the beginning, and again and again up to a time."""
        for count in range(int(until / seconds) + 1):
            self.at(count * seconds, action)

    def begin(self):
        self.began, self.began_unix = time.monotonic(), time.time()
        self._begun = True
        self._plan.sort(key=lambda planned: planned[0])

    @property
    def now(self):
        return time.monotonic() - self.began

    def play(self, until):
        """Moves everybody up to this time."""
        while self.now < until:
            while self._begun and self._plan and self._plan[0][0] <= self.now:
                self._plan.pop(0)[1]()
            select.select([peer.socket for peer in self.peers], [], [], 0.02)
            for peer in self.peers:
                peer.turn()

    def wait(self, condition, seconds=10.0):
        """Moves everybody until the condition holds."""
        deadline = self.now + seconds
        while not condition():
            if self.now > deadline:
                raise AssertionError(f"not within {seconds} s")
            self.play(self.now + 0.01)
