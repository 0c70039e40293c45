//! Who may connect and whom a node dials: lists, modes, and what is said of refusals.

use std::time::{Duration, Instant};

use super::support::*;

#[test]
fn allow_deny_and_forget_act_at_once_and_on_disk() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let us = a.init();
    let peer = b.init();
    let list = a.json(&["allow", "--mode", "strict"]).object();
    assert_keys(&list, "mode, allowed, denied, learned");
    assert_eq!(list["mode"], "strict");

    let (up_a, up_b) = (a.up(&[]), b.up(&[]));
    assert_eq!(us, up_a.peer());
    let ping = || b.json(&["ping", &up_a.addr(), "-c", "1", "--timeout", "1"]);
    assert_eq!(ping().error(1), "timeout", "a stranger gets silence");
    assert_eq!(a.json(&["allow", &peer]).object()["allowed"][0], peer);
    // The dial that got silence may still be under way; with time for another one it works.
    assert_eq!(b.json(&["ping", &up_a.addr(), "-c", "1", "--timeout", "30"]).code, 0);

    let begin = Instant::now();
    assert_eq!(a.json(&["deny", &peer]).object()["denied"][0], peer);
    up_b.peer_event(&us, "disconnected");
    assert!(begin.elapsed() < Duration::from_secs(5), "gone at once");
    assert_eq!(ping().code, 1);
    assert_eq!(a.json(&["ping", &up_b.addr(), "-c", "1"]).error(1), "denied");
    let (code, _) = up_a.stop("TERM");
    assert_eq!(code, 0);

    let list = a.json(&["allow", "--list"]).object();
    assert_eq!((&list["mode"], &list["denied"][0]), (&"strict".into(), &peer.as_str().into()));
    let list = a.json(&["forget", &peer]).object();
    assert_eq!(
        (list["allowed"].as_array(), list["denied"].as_array()),
        (Some(&vec![]), Some(&vec![]))
    );
    assert_eq!(a.json(&["allow", "--mode", "open"]).object()["mode"], "open");
}

#[test]
fn an_allow_in_the_configuration_means_strict() {
    let temp = Temp::new();
    let (a, b, c) = (temp.data("a"), temp.data("b"), temp.data("c"));
    let peer = b.init();
    a.write("config.toml", &format!("allow = [\"{peer}\"]\n"));
    let up = a.up(&[]);
    assert_eq!(b.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
    assert_eq!(c.json(&["ping", &up.addr(), "-c", "1", "--timeout", "0.5"]).error(1), "timeout");
    let said = a.json(&["allow", "--mode", "open"]);
    assert_eq!(said.error(2), "usage");
    assert!(said.err.contains("configuration"), "{}", said.err);
}

#[test]
fn newcomers_of_mode_learn_are_noted_once_and_promoted_with_one_command() {
    let temp = Temp::new();
    let (a, b, c) = (temp.data("a"), temp.data("b"), temp.data("c"));
    let (peer_b, peer_c) = (b.init(), c.init());
    a.json(&["allow", "--mode", "learn"]).object();
    let up = a.up(&[]);
    for data in [&b, &b, &c] {
        assert_eq!(data.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
    }
    up.peer_event(&peer_c, "disconnected");
    for peer in [&peer_b, &peer_c] {
        let line = up.log_line(peer);
        assert!(line.contains("newcomer was let in and noted"), "{line}");
    }
    let list = a.json(&["allow", "--list"]).object();
    assert_eq!(list["learned"].as_array().unwrap().len(), 2);
    for peer in [&peer_b, &peer_c] {
        assert!(list["learned"].as_array().unwrap().contains(&peer.as_str().into()), "{list}");
    }
    let learned = list["learned"].clone();
    drop(up);
    assert_eq!(a.json(&["allow", "--list"]).object(), list, "a kill loses nothing");

    let up = a.up(&[]);
    assert_eq!(b.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
    let list = a.json(&["allow", "--learned", "--mode", "strict"]).object();
    assert_eq!(list["allowed"], learned);
    assert_eq!((&list["mode"], list["learned"].as_array()), (&"strict".into(), Some(&vec![])));
    assert_eq!(b.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
    let stranger = temp.data("d").json(&["ping", &up.addr(), "-c", "1", "--timeout", "0.5"]);
    assert_eq!(stranger.error(1), "timeout");
    let log = up.log();
    assert!(!log.iter().any(|line| line.contains("newcomer")), "known since the last run: {log:?}");
    // Also where no node runs.
    drop(up);
    a.write("allowlist", &format!("pinhole allowlist 1\nmode learn\nlearned {peer_b}\nend\n"));
    assert_eq!(a.json(&["allow", "--learned"]).object()["allowed"][0], peer_b);
}

#[test]
fn removing_the_last_entry_does_not_open_a_strict_node() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let peer = b.init();
    a.json(&["allow", &peer, "--mode", "strict"]).object();
    let up = a.up(&[]);
    assert_eq!(b.json(&["ping", &up.addr(), "-c", "1"]).code, 0);
    let list = a.json(&["forget", &peer]).object();
    assert_eq!((&list["mode"], list["allowed"].as_array()), (&"strict".into(), Some(&vec![])));
    let refused = |up: &Up| b.json(&["ping", &up.addr(), "-c", "1", "--timeout", "0.5"]).error(1);
    assert_eq!(refused(&up), "timeout");
    drop(up);
    assert_eq!(refused(&a.up(&[])), "timeout", "nor does a restart");
}

#[test]
fn strict_mode_ends_the_connections_of_the_unlisted() {
    let temp = Temp::new();
    let (a, b, c) = (temp.data("a"), temp.data("b"), temp.data("c"));
    let (up_a, up_b, up_c) = (a.up(&[]), b.up(&[]), c.up(&[]));
    b.json(&["connect", &up_a.addr()]).object();
    c.json(&["connect", &up_a.addr()]).object();
    a.json(&["allow", &up_b.peer(), "--mode", "strict"]).object();
    let gone = up_c.peer_event(&up_a.peer(), "disconnected");
    assert_eq!(gone["reason"], "closed_by_peer");
    let peers = a.json(&["peers"]).json();
    let state =
        |peer: String| peers.iter().find(|info| info["peer"] == peer).unwrap()["state"].clone();
    assert_eq!((state(up_b.peer()), state(up_c.peer())), ("connected".into(), "denied".into()));
    assert_eq!(a.json(&["status"]).object()["peers"]["denied"], 1);
}

#[test]
fn a_refusal_is_logged_once_with_its_reason() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let peer = b.init();
    a.json(&["allow", "--mode", "strict"]).object();
    let (up_a, up_b) = (a.up(&[]), b.up(&[]));
    for _ in 0..3 {
        let ping = b.json(&["ping", &up_a.addr(), "-c", "1", "--timeout", "0.5"]);
        assert_eq!(ping.error(1), "timeout");
    }
    a.json(&["deny", &peer]).object();
    // It goes on trying.
    assert_eq!(b.json(&["connect", &up_a.addr(), "--timeout", "0.5"]).error(1), "timeout");
    assert!(up_a.log_line("refused a peer that is denied").contains(&peer));
    for _ in 0..2 {
        assert_eq!(a.json(&["ping", &up_b.addr(), "-c", "1"]).error(1), "denied");
    }
    let (_, _, log) = up_a.stop_with_log("TERM");
    let lines: Vec<&String> = log.iter().filter(|line| line.contains(&peer)).collect();
    let words = [
        "refused a peer that is not allowed (mode strict)",
        "refused a peer that is denied",
        "did not dial a peer that is denied",
    ];
    assert_eq!(lines.len(), words.len(), "{log:?}");
    for (line, words) in lines.iter().zip(words) {
        assert!(line.contains("warn") && line.contains(words), "{line}");
    }
}

#[test]
fn a_wanted_peer_that_is_not_admitted_is_a_problem_until_it_is() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up_b = b.up(&[]);
    let up_a = a.up(&["--peer", &up_b.addr(), "--allow", NOBODY]);
    let problem = up_a.event("problem");
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains(&up_b.peer()) && what.contains("not on the allowlist"), "{problem}");
    assert!(problem["hint"].as_str().unwrap().contains("`allow`"), "{problem}");
    assert!(up_a.log_line("not on the allowlist").contains(&up_b.peer()));
    let problems = || a.json(&["status"]).object()["problems"].as_array().unwrap().clone();
    assert_eq!(problems().len(), 1);
    assert!(problems()[0].as_str().unwrap().starts_with(what), "{:?}", problems());

    a.json(&["allow", &up_b.peer()]).object();
    up_a.peer_event(&up_b.peer(), "connected");
    assert_eq!(problems(), [] as [&str; 0], "it is over");

    a.json(&["deny", &up_b.peer()]).object();
    let problem = up_a.event("problem");
    assert!(problem["what"].as_str().unwrap().contains("is denied"), "{problem}");
    a.json(&["disconnect", &up_b.peer()]).object();
    assert_eq!(problems(), [] as [&str; 0], "nobody wants it any more");
}

#[test]
fn who_is_forgotten_and_allowed_by_the_configuration_is_told() {
    let temp = Temp::new();
    let a = temp.data("a");
    a.write("config.toml", &format!("allow = [\"{NOBODY}\"]\n"));
    let up = a.up(&[]);
    assert_eq!(a.json(&["forget", NOBODY]).object()["allowed"].as_array(), Some(&vec![]));
    let problem = up.event("problem");
    assert!(problem["what"].as_str().unwrap().contains("until the node starts again"), "{problem}");
    a.json(&["deny", NOBODY]).object();
    assert_eq!(a.json(&["status"]).object()["problems"].as_array(), Some(&vec![]));
}
