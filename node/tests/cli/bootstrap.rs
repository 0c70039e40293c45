//! The peers of configuration and flags: read, dialed, and told about where something is wrong.

use super::support::*;

#[test]
fn peers_in_all_spellings_are_dialed_at_the_start() {
    let temp = Temp::new();
    let ups: Vec<Up> = ["a", "b", "c", "d", "e"].map(|name| temp.data(name).up(&[])).into();
    let (peers, ports): (Vec<String>, Vec<String>) =
        ups.iter().map(|up| (up.peer(), up.addr().rsplit_once(':').unwrap().1.to_owned())).unzip();
    let data = temp.data("f");
    data.write(
        "config.toml",
        &format!(
            "peer = [\n  \"{}@127.0.0.1:{}\",\n  \"{}@localhost:{}\",\n  \
             \"{}@/ip4/127.0.0.1/udp/{}\",\n  \"/dns4/localhost/udp/{}/p2p/{}\",\n  \
             {{ peer = \"{}\", address = \"127.0.0.1:{}\" }},\n]\n",
            peers[0],
            ports[0],
            peers[1],
            ports[1],
            peers[2],
            ports[2],
            ports[3],
            peers[3],
            peers[4],
            ports[4],
        ),
    );
    assert_eq!(data.json(&["check"]).code, 0);
    let up = data.up(&[]);
    let mut missing = peers.clone();
    while !missing.is_empty() {
        let event = up.event_where("peer", |event| event["state"] == "connected");
        assert_eq!(event["origin"], "config");
        missing.retain(|peer| event["peer"] != *peer);
    }
    let shown = data.text_of(&["peers"]).out;
    assert!(
        shown.contains("connected  *b") && shown.contains("b from the configuration"),
        "{shown}"
    );
    let up = temp.data("g").up(&["--peer", &ups[0].addr()]);
    up.peer_event(&peers[0], "connected");
}

#[test]
fn a_malformed_entry_is_told_everywhere_and_stops_neither_node_nor_neighbours() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up_a = a.up(&[]);
    let typo = NOBODY.replace("yhz", "yhq");
    let wrong = [
        ("\"12D3KooWGjE8m2Zk8VvLtLpvjFz8kRjtZzRtpiEL9bHaGBxZcJZT\"".to_owned(), "libp2p"),
        (format!("\"{typo}@192.0.2.1:4433\""), "typing error, probably at character 9"),
        (format!("\"{}@192.0.2.1:4433\"", &NOBODY[..50]), "62 characters"),
        (format!("\"{NOBODY}@/ip4/192.0.2.1/tcp/1\""), "/tcp"),
        ("{ peer = \"x\" }".to_owned(), "pin1"),
        ("4433".to_owned(), "`peer` cannot be `4433`"),
    ];
    let mut text = "peer = [\n".to_owned();
    for (entry, _) in &wrong {
        text.push_str(&format!("  {entry},\n"));
    }
    text.push_str(&format!("  \"{}\",\n]\n", up_a.addr()));
    b.write("config.toml", &text);

    let said = b.json(&["check"]);
    assert_eq!(said.error(2), "usage");
    let found = said.json();
    assert_eq!(found.len(), wrong.len() + 1, "{}", said.out);
    let up_b = b.up(&[]);
    for (index, (entry, why)) in wrong.iter().enumerate() {
        let place = format!("config.toml:{}:3: ", index + 2);
        let line = &found[index];
        assert_eq!((&line["line"], &line["column"]), (&(index + 2).into(), &3.into()), "{line}");
        let told =
            format!("{}; {}", line["what"].as_str().unwrap(), line["hint"].as_str().unwrap());
        assert!(told.contains(why), "{entry}: {told}");
        let problem = up_b.event("problem");
        assert!(problem["what"].as_str().unwrap().contains(&place), "{problem}");
        assert!(up_b.log_line(&place).contains("the node runs without this entry"));
    }
    up_b.peer_event(&up_a.peer(), "connected");
    let status = b.json(&["status"]).object();
    assert_eq!(status["problems"].as_array().unwrap().len(), wrong.len(), "{status}");
    assert!(b.text_of(&["status"]).out.contains("\nproblem  "));

    // On the command line it is wrong usage.
    for words in [["--peer", &typo], ["--allow", &typo]] {
        let said = temp.data("c").json(&["up", words[0], words[1]]);
        assert_eq!(said.error(2), "usage");
        assert!(said.err.contains("typing error"), "{}", said.err);
    }
}

#[test]
fn check_finds_what_is_well_written_and_cannot_be_meant() {
    let temp = Temp::new();
    let (a, other) = (temp.data("a"), temp.data("b").init());
    let us = a.init();
    a.write(
        "config.toml",
        &format!(
            "peer = [\n \"{us}@192.0.2.1:1\",\n \"{NOBODY}@192.0.2.2:1\",\n \
             \"{other}@192.0.2.2:1\",\n]\n"
        ),
    );
    let check = || {
        let said = a.json(&["check"]);
        assert_eq!(said.error(2), "usage");
        let mut lines = said.json();
        lines.pop();
        let told = |line: &serde_json::Value| {
            assert_eq!(line["level"], "error");
            (line["line"].as_u64().unwrap(), line["what"].as_str().unwrap().to_owned())
        };
        lines.iter().map(told).collect::<Vec<_>>()
    };
    let found = check();
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].0 == 2 && found[0].1.contains("this node itself"), "{found:?}");
    assert!(found[1].0 == 4 && found[1].1.starts_with("192.0.2.2:1 is given for"), "{found:?}");
    a.json(&["deny", NOBODY]).object();
    assert!(check().iter().any(|(line, what)| *line == 3 && what.contains("is denied")));
    a.json(&["allow", "--mode", "strict"]).object();
    assert!(check().iter().any(|(line, what)| *line == 4 && what.contains("not on the allowlist")));

    // The node runs all the same, and says so.
    let up = a.up(&[]);
    let mut told: Vec<String> =
        (0..4).map(|_| up.event("problem")["what"].as_str().unwrap().to_owned()).collect();
    told.sort_unstable();
    for part in ["this node itself", "config.toml:4:2: 192.0.2.2:1 is given for", "is denied"] {
        assert_eq!(told.iter().filter(|what| what.contains(part)).count(), 1, "{part}: {told:?}");
    }
}

#[test]
fn a_name_that_has_no_address_is_named_once() {
    let temp = Temp::new();
    let data = temp.data("a");
    let up = data.up(&["--peer", &format!("{NOBODY}@no-such-host.invalid:4433")]);
    let problem = up.event("problem");
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains("no-such-host.invalid") && what.contains(NOBODY), "{problem}");
    for _ in 0..2 {
        let event = up.peer_event(NOBODY, "disconnected");
        assert_eq!(event["reason"], "unresolved", "looked up again at each try");
    }
    let status = data.json(&["status"]).object();
    assert_eq!(status["problems"].as_array().unwrap().len(), 1, "{status}");
    let shown = data.text_of(&["peers"]).out;
    assert!(shown.contains("next try in") || shown.contains("connecting"), "{shown}");
}

#[test]
fn one_who_answers_as_somebody_else_is_named() {
    let temp = Temp::new();
    let (a, b) = (temp.data("a"), temp.data("b"));
    let up_a = a.up(&[]);
    let at = up_a.ready["listen"][0].as_str().unwrap().to_owned();
    let wrong = format!("{NOBODY}@{at}");
    // `b` knows who lives there, because it is connected to it.
    let up_b = b.up(&["--peer", &up_a.addr(), "--peer", &wrong]);
    let problem = up_b.event("problem");
    let what = problem["what"].as_str().unwrap();
    assert!(what.contains(&format!("{at} is given for")), "known before any dial: {problem}");
    up_b.peer_event(&up_a.peer(), "connected");

    let is = format!("{at} is {}, not {NOBODY}", up_a.peer());
    for command in [&["ping", &wrong, "-c", "1"][..], &["send", &wrong, "x"], &["connect", &wrong]]
    {
        let said = b.json(&[command, &["--timeout", "1"]].concat());
        assert_eq!(said.error(1), "wrong_identity", "{command:?}");
        assert!(said.err.contains(&is) && said.err.contains("correct the address"), "{}", said.err);
    }
    let event = up_b.peer_event(NOBODY, "disconnected");
    assert_eq!(event["reason"], "wrong_identity");
    let problem = up_b.event("problem");
    assert_eq!(problem["what"], is.as_str());
    let shown = b.text_of(&["status"]).out;
    assert!(shown.contains(&is), "{shown}");
}
