//! The metrics page, asked by well-behaved collectors and by others. `tests/interop` holds it
//! against Prometheus' own parser.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use super::support::*;

/// A node that serves metrics on a port that the system chose; killed when dropped.
struct Served {
    child: Child,
    addr: SocketAddr,
}

impl Served {
    fn start(data: &Data) -> Self {
        let words = ["--data", data.text(), "up", "-v", "--listen", "127.0.0.1:0"];
        let words = [&words[..], &["--metrics", "127.0.0.1:0"]].concat();
        let mut child = program(&words).stdout(Stdio::null()).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap()).lines();
        let addr = log.find_map(|line| {
            let line = line.unwrap();
            let (_, url) = line.split_once("metrics are at http://")?;
            Some(url.strip_suffix("/metrics").unwrap().parse().unwrap())
        });
        // Who writes to a closed pipe would be told so.
        std::thread::spawn(move || log.for_each(drop));
        Self { child, addr: addr.expect("the log says where the metrics are") }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.addr).unwrap();
        stream.set_read_timeout(Some(LONG)).unwrap();
        stream
    }

    /// What comes back for these bytes, until the end.
    fn say(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        // The node may refuse before it has read all of it.
        let _ = stream.write_all(bytes);
        let _ = stream.shutdown(Shutdown::Write);
        all(stream)
    }

    fn get(&self, path: &str, fields: &str) -> String {
        self.say(format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{fields}\r\n", self.addr).as_bytes())
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn all(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

fn status(response: &str) -> u16 {
    let line = response.lines().next().unwrap_or_default();
    let code = line.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3));
    code.and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {response:?}"))
}

/// The value of a series.
fn value(page: &str, series: &str) -> f64 {
    let line = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {series} in {page}")).parse().unwrap()
}

#[test]
fn the_page_follows_what_the_node_does() {
    let temp = Temp::new();
    let data = temp.data("d");
    let served = Served::start(&data);
    let before = served.get("/metrics", "");
    assert_eq!(status(&before), 200);
    assert!(before.contains("Content-Type: application/openmetrics-text; version=1.0.0;"));
    assert!(before.ends_with("# EOF\n"));
    assert_eq!(value(&before, "pinhole_peers{state=\"connected\"}"), 0.0);
    assert_eq!(value(&before, "pinhole_handshakes_total"), 0.0);

    let other = temp.data("o").up(&[]);
    for round in 0..2 {
        assert_eq!(data.json(&["connect", &other.addr()]).code, 0);
        let page = served.get("/metrics", "");
        assert_eq!(value(&page, "pinhole_peers{state=\"connected\"}"), 1.0);
        assert_eq!(value(&page, "pinhole_handshakes_total"), f64::from(round + 1));
        assert_eq!(value(&page, "pinhole_peer_reconnects_total"), f64::from(round));
        assert!(value(&page, "pinhole_sent_packets_total") > 0.0);
        let heartbeats = value(&page, "pinhole_heartbeats_sent_total");
        assert!(heartbeats > f64::from(round), "a dialer says when its next heartbeat comes");
        assert_eq!(data.json(&["disconnect", &other.peer()]).code, 0);
    }
    assert_eq!(data.json(&["deny", &other.peer()]).code, 0);
    assert_eq!(data.json(&["connect", &other.addr()]).code, 1);
    let after = served.get("/metrics", "");
    assert_eq!(value(&after, "pinhole_peers{state=\"denied\"}"), 1.0);
    assert_eq!(value(&after, "pinhole_allowlist_refusals_total{direction=\"outbound\"}"), 1.0);
    for counter in ["sent_bytes", "received_bytes", "sent_datagrams", "sent_packets", "dials"] {
        let series = format!("pinhole_{counter}_total");
        assert!(value(&after, &series) > value(&before, &series), "{series}");
    }
    assert!(value(&after, "pinhole_uptime_seconds") > value(&before, "pinhole_uptime_seconds"));
    if cfg!(target_os = "linux") {
        assert!(value(&after, "pinhole_process_resident_memory_bytes") > 1e6);
        assert!(value(&after, "pinhole_process_open_fds") > 5.0);
    }
}

#[test]
fn only_the_page_is_to_be_had_and_only_by_reading() {
    let temp = Temp::new();
    let served = Served::start(&temp.data("d"));
    for path in ["/", "/metrics/x", "/../etc/passwd", "metrics"] {
        assert_eq!(status(&served.get(path, "")), 404, "{path}");
    }
    let post = served.say(b"POST /metrics HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc");
    assert_eq!(status(&post), 405);
    assert!(post.contains("\r\nAllow: GET, HEAD\r\n"));

    let head = served.say(b"HEAD /metrics HTTP/1.1\r\n\r\n");
    assert_eq!(status(&head), 200);
    assert!(head.ends_with("\r\n\r\n") && head.contains("Content-Length: "), "{head}");

    let page = served.get("/metrics?x=1", "Accept: text/plain\r\n");
    let (fields, body) = page.split_once("\r\n\r\n").unwrap();
    assert!(fields.contains("Content-Type: text/plain; version=0.0.4;"), "{fields}");
    assert!(fields.contains(&format!("Content-Length: {}\r\n", body.len())), "{fields}");
    assert!(!body.contains("# EOF"));
}

#[test]
fn garbage_is_refused_and_the_node_lives() {
    let temp = Temp::new();
    let served = Served::start(&temp.data("d"));
    let garbage: [&[u8]; 5] = [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET /metrics\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nx: \xff\r\n\r\n",
    ];
    for bytes in garbage {
        assert_eq!(status(&served.say(bytes)), 400, "{bytes:?}");
    }
    assert_eq!(served.say(b"GET /metrics HTTP/1.1\r\n"), "", "half a request has no answer");
    let endless = [&b"GET /metrics HTTP/1.1\r\nx: "[..], &vec![b'x'; 1 << 20]].concat();
    assert_eq!(status(&served.say(&endless)), 431);
    assert_eq!(status(&served.get("/metrics", "")), 200);
}

#[test]
fn slow_clients_are_cut_off_and_keep_nobody_out_for_long() {
    let temp = Temp::new();
    let served = Served::start(&temp.data("d"));
    let begin = Instant::now();
    let mut slow: Vec<TcpStream> = (0..8).map(|_| served.connect()).collect();
    slow[0].write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    // All places are taken: the next waits until the slow ones are cut off.
    assert_eq!(status(&served.get("/metrics", "")), 200);
    assert!(begin.elapsed() >= Duration::from_secs(4), "there was a ninth place");
    for stream in slow {
        assert_eq!(status(&all(stream)), 408);
    }
}

#[test]
fn a_port_that_is_taken_is_said_and_nothing_runs() {
    let temp = Temp::new();
    let data = temp.data("d");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let said = data.json(&["up", "--listen", "127.0.0.1:0", "--metrics", &addr]);
    assert_eq!(said.error(1), "busy");
    assert!(said.err.contains(&addr) && said.err.contains("another port"), "{}", said.err);

    data.write("config.toml", &format!("metrics = \"{addr}\"\nlisten = \"127.0.0.1:0\"\n"));
    assert_eq!(data.json(&["up"]).error(1), "busy", "the configuration says it too");
    assert_eq!(data.json(&["check"]).code, 0);
    assert_eq!(data.json(&["up", "--metrics", "9433"]).error(2), "usage");
}
