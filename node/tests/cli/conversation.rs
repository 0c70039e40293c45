//! Two nodes and what people do with them; the JSON of every command against the contract.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use super::support::*;

#[test]
fn two_nodes_meet_talk_and_part() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let (up_a, up_b) = (a.up(&[]), b.up(&["-v"]));
    assert_keys(&up_a.ready, "event, t, peer, listen");

    let addrs = a.json(&["addr"]).object();
    assert_keys(&addrs, "addrs");
    assert_eq!(addrs["addrs"][0], up_a.addr());
    assert_eq!(a.text_of(&["addr"]).out, format!("{}\n", up_a.addr()));

    let connected = b.json(&["connect", &up_a.addr()]).object();
    assert_keys(&connected, "peer, path, addr, elapsed_ms");
    assert_eq!(connected["peer"], up_a.ready["peer"]);
    assert_eq!(connected["addr"], up_a.ready["listen"][0]);
    assert_eq!(connected["path"], "direct");
    assert!(connected["elapsed_ms"].as_f64().unwrap() > 0.0);
    for (up, peer) in [(&up_a, up_b.peer()), (&up_b, up_a.peer())] {
        let event = up.peer_event(&peer, "connected");
        assert_keys(
            &event,
            "event, t, peer, state, was, reason, path, addr, rtt_ms, origin, reached_by",
        );
        assert!(event["t"].as_u64().unwrap() > 1_700_000_000_000);
    }

    let peers = b.json(&["peers"]).object();
    assert_keys(
        &peers,
        "peer, state, path, addr, relay, origin, wanted, dialed, rtt_ms, loss, since_s, bytes_sent, \
         bytes_received, failures, next_retry_s, reason, rtt_now_ms, rtt_min_ms, last_heard_s, \
         reached_by, wrong_identity",
    );
    assert_eq!(peers["state"], "connected");
    assert_eq!((&peers["wanted"], &peers["dialed"]), (&true.into(), &true.into()));
    assert_eq!(peers["relay"], serde_json::Value::Null);
    assert_eq!(peers["origin"], "cli");
    assert!(a.text_of(&["peers"]).out.contains(&up_b.peer()));

    // By its id alone, over the connection that is there.
    let said = b.json(&["ping", &up_a.peer(), "-c", "3", "-i", "0.01"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines = said.json();
    assert_eq!(lines.len(), 4);
    for (i, line) in lines[..3].iter().enumerate() {
        assert_keys(line, "seq, rtt_ms, path");
        assert_eq!(line["seq"], i as u64 + 1);
    }
    assert_keys(&lines[3], "sent, received, min_ms, avg_ms, max_ms");
    assert_eq!((&lines[3]["sent"], &lines[3]["received"]), (&3.into(), &3.into()));
    let ping = up_b.event("ping");
    assert_keys(&ping, "event, t, peer, ok, rtt_ms");

    let sent = b.json(&["send", &up_a.peer(), "hello"]).object();
    assert_keys(&sent, "id, acked_ms");
    let message = up_a.event("message");
    assert_keys(&message, "event, t, peer, id, kind, body");
    assert_eq!(message["peer"], up_b.ready["peer"]);
    assert_eq!((&message["id"], &message["kind"]), (&sent["id"], &"chat".into()));
    assert_eq!(message["body"], "hello");

    let status = a.json(&["status"]).object();
    assert_keys(
        &status,
        "peer, version, uptime_s, listen, public, nat, peers, mode, relay, dht, bytes_sent, \
         bytes_received, rss_bytes, problems",
    );
    assert_keys(&status["nat"], "mapping, filtering");
    assert_keys(&status["peers"], "connected, known, suspect, failed, denied, wanted_away");
    assert_keys(&status["relay"], "offered, reservations, circuits, bytes");
    assert_eq!(status["peers"]["connected"], 1);
    assert_eq!(status["nat"]["mapping"], "unknown");
    assert_eq!(status["mode"], "open");
    assert!(a.text_of(&["status"]).out.contains("1 connected, 1 known"));
    assert_keys(&a.json(&["nat"]).object(), "mapping, filtering, public, mapped, reachable");

    let gone = b.json(&["disconnect", &up_a.peer()]).object();
    assert_keys(&gone, "peer");
    up_a.peer_event(&up_b.peer(), "disconnected");
    assert_eq!(b.json(&["peers"]).object()["wanted"], false);
    assert_eq!(b.json(&["disconnect", NOBODY]).error(1), "not_found");
}

#[test]
fn without_a_node_a_temporary_one_does_it() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up = a.up(&[]);
    let said = b.json(&["ping", &up.addr(), "-c", "1"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let id = b.json(&["id"]).object()["peer"].clone();
    up.peer_event(id.as_str().unwrap(), "connected");
    up.peer_event(id.as_str().unwrap(), "disconnected");

    b.json(&["send", &up.addr(), "first contact"]).object();
    assert_eq!(up.event("message")["peer"], id);
    assert_eq!(b.json(&["connect", &up.addr()]).object()["peer"], up.ready["peer"]);
    assert_eq!(b.json(&["status"]).error(1), "not_running");
}

#[test]
fn temporary_nodes_at_the_same_time_are_one() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up = a.up(&[]);
    b.init();
    let children: Vec<_> = (0..6)
        .map(|i| {
            let text = format!("message {i}");
            let words = ["--json", "--data", b.text(), "send", &up.addr(), &text];
            program(&words).spawn().unwrap()
        })
        .collect();
    for child in children {
        let said = finish(child);
        assert_eq!(said.code, 0, "{}", said.err);
    }
    let mut bodies: Vec<String> =
        (0..6).map(|_| up.event("message")["body"].as_str().unwrap().to_owned()).collect();
    bodies.sort();
    assert_eq!(bodies, (0..6).map(|i| format!("message {i}")).collect::<Vec<_>>(), "each once");
}

#[test]
fn a_ping_goes_on_when_the_node_that_it_uses_ends() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up = a.up(&[]);
    let up_b = b.up(&[]);
    let words = ["--json", "--data", b.text(), "ping", &up.addr(), "-i", "0.05", "-c", "20"];
    let child = program(&words).spawn().unwrap();
    up.peer_event(&up_b.peer(), "connected");
    assert_eq!(up_b.stop("TERM").0, 0);
    let said = finish(child);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines = said.json();
    let seqs: Vec<u64> = lines.iter().filter_map(|line| line["seq"].as_u64()).collect();
    assert_eq!(seqs, (1..=20).collect::<Vec<_>>());
    assert_eq!(lines.last().unwrap()["sent"], 20);
}

#[test]
fn silence_ends_after_the_timeout_with_all_that_it_can_mean() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up = a.up(&[]);
    // A living address and somebody else's id.
    let wrong = up.addr().replace(&up.peer(), NOBODY);
    let begin = std::time::Instant::now();
    for command in [&["connect", &wrong][..], &["send", &wrong, "x"]] {
        let said = b.json(&[command, &["--timeout", "0.5"]].concat());
        assert_eq!(said.error(1), "timeout");
        assert!(said.err.contains("no answer: wrong id or network, offline, or not allowed"));
    }
    let said = b.json(&["ping", &wrong, "-c", "2", "-i", "0.1", "--timeout", "0.3"]);
    assert_eq!(said.error(1), "timeout");
    let lines = said.json();
    assert_keys(&lines[0], "seq, lost");
    assert_eq!((&lines[1]["seq"], &lines[1]["lost"]), (&2.into(), &true.into()));
    assert_eq!((&lines[2]["sent"], &lines[2]["received"]), (&2.into(), &0.into()));
    assert_eq!(lines[2]["min_ms"], serde_json::Value::Null);
    assert!(begin.elapsed() < Duration::from_secs(20), "the timeout is obeyed");

    assert_eq!(b.json(&["ping", NOBODY, "-c", "1"]).error(1), "not_found");
    let ourselves = b.json(&["id"]).object()["peer"].as_str().unwrap().to_owned();
    assert_eq!(b.json(&["ping", &format!("{ourselves}@127.0.0.1:9"), "-c", "1"]).error(2), "usage");
}

#[test]
fn bodies_of_every_kind_arrive_as_they_were() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let (up, _up_b) = (a.up(&[]), b.up(&[]));
    let addr = up.addr();
    b.json(&["send", &addr, "--", "--json"]).object();
    assert_eq!(up.event("message")["body"], "--json");
    b.json_with_input(&["send", &addr, "-", "--kind", "control"], "zwei\nZeilen ü".as_bytes());
    let message = up.event("message");
    assert_eq!((&message["body"], &message["kind"]), (&"zwei\nZeilen ü".into(), &"control".into()));
    b.json_with_input(&["send", &addr, "-", "--kind", "data"], &[0xff, 0x00, 0xfe]);
    let message = up.event("message");
    assert_keys(&message, "event, t, peer, id, kind, body_b64");
    assert_eq!(message["body_b64"], "/wD+");
    let full = vec![b'x'; 65_536];
    let said = b.json_with_input(&["send", &addr, "-"], &full);
    assert_eq!(said.code, 0, "{}", said.err);
    assert_eq!(up.event("message")["body"].as_str().unwrap().len(), 65_536);
    assert_eq!(
        b.json_with_input(&["send", &addr, "-"], &[&full[..], b"x"].concat()).error(2),
        "usage"
    );
    assert_eq!(b.json_with_input(&["send", &addr, "-"], &[0xff]).error(2), "usage");
    b.json(&["send", &addr, ""]).object();
    assert_eq!(up.event("message")["body"], "");
}

#[test]
fn a_private_network_is_silent_to_the_others() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    a.json(&["init", "--network-key"]).object();
    let up = a.up(&[]);
    let ping = ["ping", &up.addr(), "-c", "1", "--timeout", "0.5"];
    assert_eq!(b.json(&ping).error(1), "timeout");
    std::fs::copy(a.file("network.key"), b.file("network.key")).unwrap();
    assert_eq!(b.json(&ping).code, 0);
}

#[test]
fn states_have_a_colour_on_a_terminal_and_only_there() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let (up_a, _up_b) = (a.up(&[]), b.up(&[]));
    b.json(&["connect", &up_a.addr()]).object();
    let green = "\u{1b}[32mconnected\u{1b}[0m";
    let on_terminal = |no_color: &str| {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let slave = OpenOptions::new().read(true).write(true).open(name.to_str().unwrap()).unwrap();
        let mut command = program(&["--data", b.text(), "peers"]);
        let child = command.env("NO_COLOR", no_color).stdout(slave).spawn().unwrap();
        drop(command);
        assert_eq!(finish(child).code, 0);
        let mut shown = Vec::new();
        // Its end is an error where nobody holds the other side any more.
        let _ = File::from(master).read_to_end(&mut shown);
        String::from_utf8(shown).unwrap()
    };
    let shown = on_terminal("");
    assert!(shown.contains(green) && shown.contains(&up_a.peer()), "{shown}");
    assert!(!on_terminal("1").contains('\u{1b}'));
    assert!(!b.text_of(&["peers"]).out.contains('\u{1b}'));
}
