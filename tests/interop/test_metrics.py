"""The metrics page of the real program, read by Prometheus' own parsers.

The parser of OpenMetrics is strict: it refuses what the standard does not allow, such as a missing
`# EOF`, a counter without `_total`, a unit that is not in the name, a family that is there twice.
"""

import http.client
import re
import time

from prometheus_client import parser as older
from prometheus_client.openmetrics import parser as openmetrics

import cases
import driver

OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
OLDER = "text/plain; version=0.0.4; charset=utf-8"
# What Prometheus 3 sends, without the formats that are no text.
PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1"
)


class Metrics(cases.Case):
    flags = ("-v", "--metrics", "127.0.0.1:0")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.place = place(cls.node)

    def get(self, accept):
        connection = http.client.HTTPConnection(self.place, timeout=10)
        self.addCleanup(connection.close)
        connection.request("GET", "/metrics", headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        self.assertEqual(response.status, 200)
        return response.headers["Content-Type"], response.read().decode()

    def families(self):
        kind, page = self.get(PROMETHEUS)
        self.assertEqual(kind, OPENMETRICS)
        return {family.name: family for family in openmetrics.text_string_to_metric_families(page)}

    def value(self, series, **labels):
        found = [
            sample.value
            for family in self.families().values()
            for sample in family.samples
            if sample.name == series and sample.labels == labels
        ]
        self.assertEqual(len(found), 1, series)
        return found[0]

    def test_openmetrics(self):
        families = self.families()
        self.assertGreater(len(families), 25)
        for name, family in families.items():
            with self.subTest(name):
                self.assertTrue(name.startswith("pinhole_"))
                self.assertIn(family.type, ("counter", "gauge", "info"))
                self.assertTrue(family.documentation.endswith("."))
                self.assertTrue(family.samples)
                units = {unit for unit in ("bytes", "seconds") if name.endswith(unit)}
                self.assertEqual({family.unit} - {""}, units)
                names = {label for sample in family.samples for label in sample.labels}
                self.assertLessEqual(names, {"reason", "state", "direction", "version"})

    def test_it_is_what_others_get_too(self):
        for accept in (None, "*/*", "application/json"):
            self.assertEqual(self.get(accept)[0], OPENMETRICS)

    def test_older_text(self):
        kind, page = self.get("text/plain;version=0.0.4;q=0.3,*/*;q=0.1")
        self.assertEqual(kind, OLDER)
        old = {
            sample.name
            for family in older.text_string_to_metric_families(page)
            for sample in family.samples
        }
        new = {sample.name for family in self.families().values() for sample in family.samples}
        self.assertEqual(old, new)

    def test_numbers_follow_what_happens(self):
        before = self.value("pinhole_handshakes_total")
        foreign = self.value("pinhole_gate_dropped_total", reason="foreign")
        link = self.connect()
        driver.ping(link)
        self.assertEqual(self.value("pinhole_handshakes_total"), before + 1)
        self.assertEqual(self.value("pinhole_gate_dropped_total", reason="foreign"), foreign)
        self.assertGreater(self.value("pinhole_received_bytes_total"), 1200)
        states = {
            sample.labels["state"]: sample.value
            for sample in self.families()["pinhole_peers"].samples
        }
        self.assertEqual(
            set(states),
            {"connecting", "connected", "suspect", "failed", "disconnected", "denied"},
        )
        self.assertGreaterEqual(states["connected"], 1)


def place(node):
    """Where the log says that the metrics are."""
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        for line in list(node.errors):
            found = re.search(r"http://([0-9.:]+)/metrics", line)
            if found:
                return found[1]
        time.sleep(0.01)
    raise AssertionError(f"the log does not say where the metrics are: {node.errors}")
