use super::*;

const PEER: &str = "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44";

fn read_in(text: &str) -> (Settings, Vec<Problem>) {
    let found = read(&text.replace("PEER", PEER), Path::new("/nowhere"));
    assert_eq!(found.places.len(), found.settings.peers.len());
    (found.settings, found.problems)
}

/// The only problem of a configuration, as `line:column what; hint`.
fn only(text: &str) -> String {
    let (_, problems) = read_in(text);
    assert_eq!(problems.len(), 1, "{text}: {problems:?}");
    let problem = &problems[0];
    format!("{}:{} {}; {}", problem.line, problem.column, problem.what, problem.hint)
}

#[test]
fn all_spellings_of_peers_and_lists_are_read() {
    let (settings, problems) = read_in(
        "listen = \"0.0.0.0:0\"\n\
         peer = [\"PEER\", \"PEER@192.0.2.1:1\", \"PEER@/ip6/2001:db8::1/udp/2\",\n\
           \"/dns4/host.example/udp/3/p2p/PEER\", { peer = \"PEER\", address = \"192.0.2.1:4\" }]\n\
         allow = [\"PEER\"]\nmax_streams = 0x10\n",
    );
    assert_eq!(problems, []);
    assert_eq!(settings.peers.len(), 5);
    assert_eq!(settings.allow.len(), 1);
    assert_eq!(settings.limits.max_streams, Some(16));
    let (settings, problems) = read_in("[[peer]]\npeer = \"PEER\"\naddress = \"192.0.2.1:4\"\n");
    assert_eq!((settings.peers.len(), problems.len()), (1, 0));
}

#[test]
fn unknown_keys_are_errors_with_their_place() {
    assert_eq!(only("\n  lisen = \"x\""), "2:3 there is no key `lisen`; did you mean `listen`?");
    assert!(only("network-key = \"x\"").contains("did you mean `network_key`?"));
    assert!(only("no_dht = true").contains("write dht = false"));
    assert!(only("[node]\nlisten = 1").contains("1:2 there is no section `node`"));
    assert!(only("frobnicate = 1").contains("`init`"));
    assert!(only("peer = [{ peer = \"PEER\", adress = \"x\" }]").contains("no key `adress`"));
}

#[test]
fn wrong_values_say_what_to_write() {
    assert!(only("listen = 4433").contains("1:10 `listen` cannot be `4433`"));
    assert!(only("listen = [\"4433\"]").contains("0.0.0.0:4433 and [::]:4433"));
    assert!(only("listen = [\"0.0.0.0:1\", \"0.0.0.0:1\"]").contains("1:24 0.0.0.0:1 stands"));
    assert!(only("max_streams = 0").contains("from 1 to 10000"));
    assert!(only("max_streams = -1").contains("from 1 to 10000"));
    assert!(only("max_streams = 99999999999999999999999").contains("from 1 to 10000"));
    assert!(only("peer = [{ address = \"192.0.2.1:1\" }]").contains("id is missing"));
    assert!(only("network_key = \"none\"").contains("there is no network key file /nowhere/none"));
    assert!(only("mdns = \"off\"").contains("true or false"));
}

#[test]
fn a_wrong_peer_is_left_out_and_the_others_stay() {
    let (settings, problems) = read_in("peer = [\"PEER@192.0.2.1:1\", \"12D3KooWxyz\"]");
    assert_eq!(settings.peers.len(), 1);
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].level, Level::Skipped);
    assert!(problems[0].what.contains("libp2p"), "{}", problems[0]);
}

#[test]
fn an_entry_of_any_wrong_form_is_left_out() {
    for entry in [
        "42",
        "[\"PEER\"]",
        "{ peer = \"PEER\", adress = \"192.0.2.1:1\" }",
        "{ address = \"192.0.2.1:1\" }",
        "{ peer = 1 }",
        "\"PEER@192.0.2.1\"",
    ] {
        let text = format!("peer = [\"PEER@192.0.2.1:1\",\n {entry}, \"PEER@192.0.2.2:1\"]");
        let (settings, problems) = read_in(&text);
        assert_eq!(settings.peers.len(), 2, "{entry}");
        assert_eq!(problems.len(), 1, "{entry}: {problems:?}");
        assert_eq!((problems[0].level, problems[0].line), (Level::Skipped, 2), "{entry}");
    }
}

#[test]
fn malformed_ids_say_what_is_wrong_with_them() {
    let typo = PEER.replace("yhz", "yhq");
    for (id, what) in [
        (typo.as_str(), "typing error, probably at character 9"),
        (&PEER[..40], "62 characters and this one has 40"),
        ("npub1xyz", "begins with pin1"),
        (&PEER.to_uppercase().replace('G', "g"), "mixes upper and lower case"),
        ("12D3KooWGjE8m2Zk8VvLtLpvjFz8kRjtZzRtpiEL9bHaGBxZcJZT", "libp2p"),
    ] {
        let (settings, problems) = read_in(&format!("allow = [\n  \"{id}\",\n  \"PEER\"]"));
        assert_eq!(settings.allow.len(), 1);
        assert_eq!((problems[0].line, problems[0].column), (2, 3));
        assert!(problems[0].to_string().contains(what), "{id}: {}", problems[0]);
    }
}

#[test]
fn times_are_seconds_and_fit_together() {
    let (settings, problems) = read_in(
        "liveness = \"battery\"\nliveness_idle_fail = 12.5\nbackoff_cap = 60\nbackoff_tries = 5\n\
         dial_rate = 10\naccept_rate = 20\n",
    );
    assert_eq!(problems, []);
    let liveness = settings.tuning.liveness().unwrap();
    assert_eq!(liveness.idle_fail, Duration::from_millis(12_500));
    assert_eq!(liveness.keepalive.most, Duration::from_secs(110));
    let backoff = settings.tuning.backoff().unwrap();
    assert_eq!((backoff.cap, backoff.tries), (Duration::from_secs(60), 5));
    assert_eq!((settings.limits.dial_rate, settings.limits.accept_rate), (Some(10), Some(20)));

    let wrong = only("listen = []\nliveness_idle_suspect = 12\n");
    assert!(wrong.starts_with("2:1 idle_suspect has to be shorter than idle_fail"), "{wrong}");
    assert!(only("liveness_retry = 0.01").contains("a number of seconds from 0.1 to 60"));
    assert!(only("liveness_interval = \"18\"").contains("`liveness_interval` cannot be"));
    assert!(only("backoff_base = -1").contains("from 0.1 to 3600"));
    assert!(only("liveness = \"slow\"").contains("\"fast\", \"normal\", \"battery\""));
}

#[test]
fn peers_beyond_the_limit_are_left_out() {
    let text = format!("peer = [{}]", "\"PEER\",".repeat(MAX_WANTED + 3));
    let (settings, problems) = read_in(&text);
    assert_eq!((settings.peers.len(), problems.len()), (MAX_WANTED, 1));
    assert_eq!(problems[0].level, Level::Skipped);
}

#[test]
fn a_wrong_allow_never_opens_the_node() {
    for text in ["allow = []", "allow = [\"pin1nobody\"]", "allow = 1"] {
        assert!(read_in(text).0.strict, "{text}");
    }
    assert!(!read_in("").0.strict);
}

#[test]
fn every_problem_is_found_in_the_order_of_the_file() {
    let (_, problems) = read_in("lisen = 1\nmax_streams = 0\npeer = \"x\"\nrelay = true\n");
    let lines: Vec<_> = problems.iter().map(|problem| (problem.line, problem.level)).collect();
    let (error, skipped, note) = (Level::Error, Level::Skipped, Level::Note);
    assert_eq!(lines, [(1, error), (2, error), (3, skipped), (4, note)]);
}

#[test]
fn broken_syntax_is_named_with_its_place_and_the_rest_is_still_read() {
    let (_, problems) = read_in("max_streams = 7\npeer = [\"PEER\"\nlisen = 3\n");
    assert!(problems.iter().any(|p| p.level == Level::Error && p.line >= 2), "{problems:?}");
    let (_, problems) = read_in("max_streams = \nlisen = 3\n");
    assert_eq!(problems.iter().map(|p| p.line).collect::<Vec<_>>(), [1, 2], "{problems:?}");
    assert!(read_in("listen = [\"0.0.0.0:1\"]\nlisten = []\n").1.len() == 1);
}

#[test]
fn columns_count_characters() {
    assert_eq!(position("ä = 1\nöö x", 11), (2, 3));
    assert_eq!(position("a", 99), (1, 2));
}
