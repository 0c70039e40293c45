//! The data folder: what is made, what is kept, and what is damaged.

use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;

use super::support::*;

#[test]
fn init_makes_what_is_missing_and_overwrites_nothing() {
    let temp = Temp::new();
    let data = temp.data("d");
    let said = data.json(&["id"]);
    assert_eq!(said.error(1), "not_found");
    assert!(said.err.contains("`init` makes one") && !data.path().exists());

    let first = data.json(&["init"]).object();
    assert_keys(&first, "peer, data");
    assert_eq!(first["data"], data.text());
    let mode = |name: &str| fs::metadata(data.file(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!(fs::metadata(data.path()).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!((mode("key"), mode("config.toml")), (0o600, 0o600));

    let before = [fs::read(data.file("key")).unwrap(), b"# mine".to_vec()];
    data.write("config.toml", "# mine");
    assert_eq!(data.json(&["init", "--network-key"]).object(), first);
    let after = [fs::read(data.file("key")).unwrap(), fs::read(data.file("config.toml")).unwrap()];
    assert_eq!(before, after);
    assert_eq!(mode("network.key"), 0o600);

    let id = data.json(&["id"]).object();
    assert_keys(&id, "peer");
    assert_eq!(id["peer"], first["peer"]);
    assert_eq!(data.text_of(&["id"]).out, format!("{}\n", first["peer"].as_str().unwrap()));
}

#[test]
fn what_init_writes_passes_check_and_comes_up() {
    let temp = Temp::new();
    let data = temp.data("d");
    data.init();
    let said = data.json(&["check"]);
    assert_eq!((said.code, said.out.as_str()), (0, ""));
    assert!(data.text_of(&["check"]).out.contains("no errors"));
    data.up(&[]);
}

#[test]
fn check_finds_every_problem_and_up_refuses_what_is_wrong() {
    let temp = Temp::new();
    let data = temp.data("d");
    data.write(
        "config.toml",
        "lisen = 1\n\nmax_streams = \"many\"\nmdns = true\nlisten = [\"x\"\n",
    );
    let said = data.json(&["check"]);
    assert_eq!(said.error(2), "usage");
    let mut lines = said.json();
    lines.pop();
    for line in &lines {
        assert_keys(line, "level, line, column, what, hint");
        assert!(!line["hint"].as_str().unwrap().is_empty());
    }
    let found: Vec<_> = lines
        .iter()
        .map(|line| (line["line"].as_u64().unwrap(), line["level"].as_str().unwrap()))
        .collect();
    assert_eq!(found[..3], [(1, "error"), (3, "error"), (4, "note")]);
    assert!(found[3..].iter().any(|(line, _)| *line >= 5), "{found:?}");
    let human = data.text_of(&["check"]);
    assert!(human.out.contains("config.toml:1:1: error: there is no key `lisen`"), "{}", human.out);

    let said = data.json(&["up"]);
    assert_eq!(said.error(2), "usage");
    assert!(said.err.contains("line 1, column 1") && said.err.contains("line 3, column 15"));
    assert_eq!(data.json(&["check", "--config", "/nowhere"]).error(2), "usage");
}

#[test]
fn a_key_with_wrong_rights_or_contents_is_named_and_kept() {
    let temp = Temp::new();
    let data = temp.data("d");
    data.init();
    let key = data.file("key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    for command in [&["id"][..], &["up"], &["ping", NOBODY], &["init"]] {
        let said = data.json(command);
        assert_eq!(said.error(1), "damaged", "{command:?}");
        assert!(said.err.contains("chmod 600") && said.err.contains(key.to_str().unwrap()));
    }
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for text in ["", "garbage", &"f".repeat(63)] {
        fs::write(&key, text).unwrap();
        for command in [&["id"][..], &["up"], &["init"]] {
            let said = data.json(command);
            assert_eq!(said.error(1), "damaged", "{command:?}");
            assert!(said.err.contains("put a copy back"), "{}", said.err);
        }
        assert_eq!(fs::read_to_string(&key).unwrap(), text, "never replaced");
    }
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let temp = Temp::new();
    temp.data("d").write("file", "");
    let said = temp.data("d/file/inner").json(&["up"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("cannot make the data folder"), "{}", said.err);
}

#[test]
fn the_second_node_on_a_folder_says_who_holds_it() {
    let temp = Temp::new();
    let data = temp.data("d");
    let up = data.up(&[]);
    let said = data.json(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(said.error(1), "busy");
    assert!(said.err.contains(&format!("process {}", up.pid())), "{}", said.err);
    assert_eq!(data.json(&["status"]).object()["peer"], up.ready["peer"]);
}

#[test]
fn a_busy_port_is_named() {
    let temp = Temp::new();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let taken = socket.local_addr().unwrap().to_string();
    let said = temp.data("d").json(&["up", "--listen", &taken]);
    assert_eq!(said.error(1), "busy");
    assert!(said.err.contains(&taken), "{}", said.err);
}

#[test]
fn what_a_killed_node_leaves_does_not_stop_the_next() {
    let temp = Temp::new();
    let data = temp.data("d");
    let (code, _) = data.up(&[]).stop("KILL");
    assert_eq!(code, -1);
    assert!(data.file("control.sock").exists(), "the socket is stale");
    assert_eq!(data.json(&["status"]).error(1), "not_running");
    let up = data.up(&[]);
    assert_eq!(data.json(&["status"]).object()["peer"], up.ready["peer"]);
    let (code, _) = up.stop("TERM");
    assert_eq!(code, 0);
    assert!(!data.file("control.sock").exists());
}

#[test]
fn a_damaged_allowlist_is_set_aside_and_lets_nobody_in() {
    let temp = Temp::new();
    let data = temp.data("d");
    data.init();
    data.write("allowlist", "pinhole allowlist 1\nmode open\n");
    let up = data.up(&[]);
    let problem = up.event("problem");
    assert!(problem["what"].as_str().unwrap().contains("allowlist.damaged-"), "{problem}");
    assert_eq!(data.json(&["allow", "--list"]).object()["mode"], "strict");
    drop(up);
    assert_eq!(data.json(&["allow", "--list"]).object()["mode"], "strict");
}

#[test]
fn a_long_path_has_room_for_the_control_socket() {
    if !cfg!(target_os = "linux") {
        return;
    }
    let temp = Temp::new();
    let data = temp.data(&format!("{}/{0}", "long".repeat(20)));
    let up = data.up(&[]);
    assert_eq!(data.json(&["status"]).object()["peer"], up.ready["peer"]);
}
