//! The control socket, signals and pipes.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use super::support::*;

fn say(data: &Data, bytes: &[u8]) -> String {
    let mut stream = UnixStream::connect(data.file("control.sock")).unwrap();
    stream.set_read_timeout(Some(LONG)).unwrap();
    // The node may close before it has read all of it.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8(answer).unwrap()
}

#[test]
fn garbage_gets_an_error_line_and_the_node_lives() {
    let temp = Temp::new();
    let data = temp.data("d");
    let up = data.up(&[]);
    let mode = std::fs::metadata(data.file("control.sock")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let deep = format!("{}\n", "[".repeat(100_000));
    let garbage: [&[u8]; 7] = [
        b"\n",
        b"garbage\n",
        b"{\"frobnicate\":1}\n",
        b"\xff\xfe\x00\n",
        b"no newline",
        b"{\"do\":\"disconnect\",\"target\":\"nobody\"}\n",
        deep.as_bytes(),
    ];
    for bytes in garbage {
        let answer = say(&data, bytes);
        let last = answer.lines().last().unwrap_or_default();
        let last: serde_json::Value = serde_json::from_str(last).unwrap();
        assert_eq!(last["error"]["kind"], "usage", "{answer}");
    }
    say(&data, &vec![b'x'; 10 << 20]);
    assert_eq!(data.json(&["status"]).object()["peer"], up.ready["peer"]);
}

#[test]
fn clients_that_say_nothing_keep_nobody_from_the_node_for_long() {
    let temp = Temp::new();
    let data = temp.data("d");
    let up = data.up(&[]);
    let idle: Vec<UnixStream> =
        (0..32).map(|_| UnixStream::connect(data.file("control.sock")).unwrap()).collect();
    // All places are taken: the next is told so, and not left waiting.
    let answer = say(&data, b"{\"do\":\"status\"}\n");
    assert!(answer.contains("\"busy\""), "{answer}");
    drop(idle);
    let answer = loop {
        let answer = say(&data, b"{\"do\":\"status\"}\n");
        if !answer.contains("\"busy\"") {
            break answer;
        }
    };
    assert!(answer.contains(&up.peer()), "{answer}");
}

#[test]
fn commands_that_need_a_node_say_that_none_runs() {
    let temp = Temp::new();
    let data = temp.data("d");
    for made in [false, true] {
        for command in [&["status"][..], &["peers"], &["addr"], &["nat"], &["disconnect", NOBODY]] {
            let said = data.json(command);
            assert_eq!(said.error(1), "not_running", "{command:?}");
            assert!(said.err.contains("`up`"), "{}", said.err);
        }
        assert_eq!(data.path().exists(), made, "asking makes nothing");
        data.init();
    }
}

#[test]
fn a_signal_stops_a_node_cleanly_and_says_so() {
    let temp = Temp::new();
    for name in ["TERM", "INT"] {
        let (code, events) = temp.data("d").up(&[]).stop(name);
        assert_eq!(code, 0, "{name}");
        let last = events.last().unwrap();
        assert_keys(last, "event, t, reason");
        assert_eq!(last["event"], "shutdown");
        assert_eq!(last["reason"], format!("SIG{name}"));
    }
}

#[test]
fn a_second_signal_stops_at_once() {
    let temp = Temp::new();
    let mut up = temp.data("d").up(&[]);
    // Both wait for the node when it goes on.
    signal(up.pid(), "STOP");
    signal(up.pid(), "INT");
    signal(up.pid(), "TERM");
    signal(up.pid(), "CONT");
    let code = up.wait();
    assert!(code == 130 || code == 143, "{code}");
}

#[test]
fn a_broken_pipe_is_no_error() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up = a.up(&[]);
    let words = ["--json", "--data", b.text(), "ping", &up.addr(), "-i", "0.01"];
    let mut child = program(&words).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"seq\":1"), "{line}");
    let said = finish(child);
    assert_eq!((said.code, said.err.as_str()), (0, ""));

    // A node does not stop because nobody reads its events.
    let words = ["--data", b.text(), "up", "--listen", "127.0.0.1:0"];
    let mut child = program(&words).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    while !line.starts_with("ready") {
        line.clear();
        stdout.read_line(&mut line).unwrap();
    }
    drop(stdout);
    for _ in 0..3 {
        assert_eq!(b.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
    }
    signal(child.id(), "TERM");
    assert_eq!(finish(child).code, 0);
}

#[test]
fn a_reader_that_does_not_read_does_not_hold_the_node_up() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let words = ["--json", "--data", a.text(), "up", "-v", "--listen", "127.0.0.1:0"];
    let mut child = program(&words).stderr(Stdio::null()).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    stdout.read_line(&mut line).unwrap();
    let ready: serde_json::Value = serde_json::from_str(&line).unwrap();
    let up = b.up(&[]);
    assert!(ready["peer"].is_string());
    // Far more ping events than a pipe and the queue hold, and nobody reads them.
    let said = a.json(&["ping", &up.addr(), "-i", "0.01", "-c", "900"]);
    assert_eq!(said.json().last().unwrap()["received"], 900, "{}", said.err);
    assert_eq!(a.json(&["status"]).code, 0);
    // Once somebody reads, they hear how much they missed.
    let mut lost = None;
    while lost.is_none() {
        assert_eq!(a.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
        for _ in 0..200 {
            line.clear();
            stdout.read_line(&mut line).unwrap();
            let event: serde_json::Value = serde_json::from_str(&line).unwrap();
            if event["event"] == "lost" {
                assert_keys(&event, "event, t, count");
                lost = event["count"].as_u64();
                break;
            }
        }
    }
    assert!(lost.unwrap() > 0);
    drop(stdout);
    signal(child.id(), "TERM");
    assert_eq!(finish(child).code, 0);
}

#[test]
fn ping_until_interrupted_ends_with_its_sum() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up = a.up(&[]);
    let words = ["--json", "--data", b.text(), "ping", &up.addr(), "-i", "0.02"];
    let mut child = program(&words).spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut out = String::new();
    stdout.read_line(&mut out).unwrap();
    signal(child.id(), "INT");
    stdout.read_to_string(&mut out).unwrap();
    let said = Said { out, ..finish(child) };
    assert_eq!(said.code, 0, "{}", said.err);
    let lines = said.json();
    let sum = lines.last().unwrap();
    assert_keys(sum, "sent, received, min_ms, avg_ms, max_ms");
    assert_eq!(sum["received"], lines.len() as u64 - 1);
}
