//! Peers that fall silent: what is told of them, and how soon.

use super::support::*;

#[test]
fn a_frozen_peer_is_suspect_then_failed_and_back_when_it_goes_on() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let (up_a, up_b) = (a.up(&["--liveness", "fast"]), b.up(&["--liveness", "fast"]));
    b.json(&["connect", &up_a.addr()]).object();
    let peers = b.json(&["peers"]).object();
    assert_eq!(
        (&peers["reason"], &peers["reached_by"]),
        (&"dialed".into(), &serde_json::json!([]))
    );
    assert!(peers["last_heard_s"].as_f64().unwrap() < 60.0, "{peers}");
    assert!(peers["rtt_min_ms"].as_f64().unwrap() > 0.0, "{peers}");
    assert!(peers["rtt_now_ms"].as_f64().unwrap() > 0.0, "{peers}");

    signal(up_a.pid(), "STOP");
    for state in ["suspect", "failed"] {
        let event = up_b.peer_event(&up_a.peer(), state);
        // With one peer, one cannot tell its silence from that of the own network.
        assert_eq!(
            (&event["reason"], &event["reached_by"]),
            (&"silent".into(), &serde_json::json!([]))
        );
    }
    let peers = b.json(&["peers"]).object();
    assert_eq!(peers["state"], "failed");
    assert!(peers["last_heard_s"].as_f64().unwrap() > 5.0, "{peers}");
    assert_eq!(b.json(&["status"]).object()["peers"]["failed"], 1);
    let shown = b.text_of(&["peers"]).out;
    assert!(shown.contains("nothing comes from it; last heard "), "{shown}");
    assert!(b.text_of(&["status"]).out.contains("1 failed"));

    signal(up_a.pid(), "CONT");
    let event = up_b.peer_event(&up_a.peer(), "connected");
    assert_eq!(event["was"], "failed");
    assert_eq!(b.json(&["ping", &up_a.peer(), "-c", "1"]).code, 0);
}

#[test]
fn times_that_contradict_each_other_are_named_before_anything_starts() {
    let temp = Temp::new();
    let data = temp.data("d");
    data.write("config.toml", "liveness_idle_suspect = 8\n");
    assert_eq!(data.json(&["check"]).code, 0);
    // Good with the times of normal, and too long for those of fast.
    let said = data.json(&["up", "--listen", "127.0.0.1:0", "--liveness", "fast"]);
    assert_eq!(said.error(2), "usage");
    assert!(said.err.contains("idle_suspect has to be shorter than idle_fail"), "{}", said.err);
    data.write("config.toml", "# times\nliveness_idle_suspect = 12\nbackoff_base = 40\n");
    let said = data.json(&["check"]);
    assert_eq!(said.error(2), "usage");
    assert_eq!((said.json()[0]["line"].as_u64(), said.json().len()), (Some(2), 2), "{}", said.out);
    assert_eq!(data.json(&["up", "--liveness", "slow"]).error(2), "usage");
}
