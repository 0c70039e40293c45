"""Runs the real program for a test."""

import json
import os
import pathlib
import queue
import signal
import subprocess
import tempfile
import threading
import time

import addresses

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR") or ROOT / "target")
PROGRAM = os.environ.get("PINHOLE_NODE") or str(TARGET / "debug" / "node")


class Node:
    """`node up` on loopback, with a data folder of its own."""

    def __init__(self, *flags, data=None):
        self._folder = tempfile.TemporaryDirectory(prefix="interop")
        self.data = data or self._folder.name
        command = [PROGRAM, "up", "--json", "--listen", "127.0.0.1:0", "--data", self.data]
        self.process = subprocess.Popen(
            command + list(flags), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self._terminated = False
        self.seen = []
        self.errors = []
        self._events = queue.Queue()
        for pipe, into in ((self.process.stdout, self._event), (self.process.stderr, self._log)):
            threading.Thread(target=self._read, args=(pipe, into), daemon=True).start()
        ready = self.event("ready", seconds=20)
        self.peer_text = ready["peer"]
        self.peer_id = addresses.parse(ready["peer"]).peer_id
        place = addresses.parse_candidate(ready["listen"][0])
        self.host, self.port = str(place.host), place.port

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
        self.process.stdout.close()
        self.process.stderr.close()
        self._folder.cleanup()

    def stop(self, seconds=10):
        """SIGTERM, and the exit status."""
        self.terminate()
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def terminate(self):
        """SIGTERM, once: a second one would end the program at once."""
        if self.process.poll() is None and not self._terminated:
            self._terminated = True
            self.process.send_signal(signal.SIGTERM)

    def event(self, name, seconds=5.0, **fields):
        """The next event of that name with these fields."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                event = self._events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(
                    f"no event {name} within {seconds} s; events {self.seen}, log {self.errors}"
                ) from None
            if event.get("event") == name and fields.items() <= event.items():
                return event

    def _read(self, pipe, into):
        try:
            for line in pipe:
                into(line)
        except ValueError:
            pass  # closed at the end of the test

    def _event(self, line):
        event = json.loads(line)
        self.seen.append(event)
        self._events.put(event)

    def _log(self, line):
        self.errors.append(line.rstrip())


def command(*arguments, data, seconds=30):
    """(exit status, objects on stdout) of one command of the program."""
    done = subprocess.run(
        [PROGRAM, "--json", "--data", data, *arguments],
        capture_output=True, text=True, timeout=seconds, check=False,
    )
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr
