//! Words, help, completions and what ends with status 2.

use std::process::{Command, Stdio};

use super::support::*;

const COMMANDS: [&str; 20] = [
    "up",
    "init",
    "check",
    "id",
    "addr",
    "status",
    "peers",
    "ping",
    "connect",
    "disconnect",
    "allow",
    "deny",
    "forget",
    "send",
    "nat",
    "find",
    "dht",
    "relay",
    "top",
    "demo",
];

#[test]
fn wrong_usage_ends_with_2_and_an_error_object() {
    let lines: &[&[&str]] = &[
        &[],
        &["frobnicate"],
        &["id", "--frobnicate"],
        &["id", "extra"],
        &["ping"],
        &["ping", "nobody"],
        &["ping", "12D3KooWGjE8m2Zk8VvLtLpvjFz8kRjtZzRtpiEL9bHaGBxZcJZT"],
        &["ping", NOBODY, "-c", "0"],
        &["ping", NOBODY, "-c", "many"],
        &["ping", NOBODY, "-i", "0"],
        &["ping", NOBODY, "--timeout", "inf"],
        &["send", NOBODY],
        &["send", NOBODY, "two", "words"],
        &["send", NOBODY, "x", "--kind", "poem"],
        &["allow"],
        &["allow", "--mode", "loose"],
        &["up", "--listen", "4433"],
        &["up", "--peer", "nobody"],
        &["up", "--config", "/nowhere/config.toml"],
        &["up", "-v", "-q"],
        &["completions", "tcsh"],
        &["dht", "frobnicate"],
    ];
    let temp = Temp::new();
    for line in lines {
        let said = temp.data("d").json(line);
        assert_eq!(said.error(2), "usage", "{line:?}");
        assert_eq!(said.json().len(), 1, "{line:?}");
        let human = temp.data("d").text_of(line);
        assert_eq!((human.code, human.out.as_str()), (2, ""), "{line:?}");
        assert!(human.err.starts_with("node: "), "it calls itself by its name: {}", human.err);
    }
}

#[test]
fn help_is_one_screen_and_goes_to_stdout() {
    let said = run(&["--help"]);
    assert_eq!((said.code, said.err.as_str()), (0, ""));
    for command in COMMANDS {
        assert!(said.out.contains(&format!("\n  {command} ")), "{command}");
    }
    let said = run(&["ping", "--help"]);
    assert!(said.code == 0 && said.out.contains("-c N") && said.out.contains("--data DIR"));
    assert!(run(&["--version"]).out.starts_with("node 0."));
}

#[test]
fn it_calls_itself_by_the_name_that_it_is_called_by() {
    let temp = Temp::new();
    let link = temp.path().join("pinhole");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_node"), &link).unwrap();
    let output = Command::new(&link).arg("--help").output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("usage: pinhole "));
    let output = Command::new(&link).args(["completions", "bash"]).output().unwrap();
    assert!(String::from_utf8(output.stdout).unwrap().contains("complete -F _pinhole pinhole"));
}

#[test]
fn completions_are_valid_where_the_shell_is_installed() {
    for shell in ["bash", "zsh", "fish"] {
        let said = run(&["completions", shell]);
        assert_eq!(said.code, 0);
        let check = Command::new(shell).arg("-n").stdin(Stdio::piped()).spawn();
        let Ok(mut check) = check else { continue };
        use std::io::Write;
        check.stdin.take().unwrap().write_all(said.out.as_bytes()).unwrap();
        assert!(check.wait().unwrap().success(), "{shell}");
    }
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let complete = |words: &[&str]| {
        let script = format!(
            "{}\nCOMP_WORDS=({}); COMP_CWORD={}; _node; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            run(&["completions", "bash"]).out,
            words.join(" "),
            words.len() - 1
        );
        let output = Command::new("bash").args(["-c", &script]).output();
        output.map(|output| String::from_utf8(output.stdout).unwrap()).ok()
    };
    let Some(commands) = complete(&["node", "sta"]) else { return };
    assert_eq!(commands, "status\n");
    assert_eq!(complete(&["node", "up", "--lis"]).unwrap(), "--listen\n");
    assert_eq!(complete(&["node", "allow", "--mode", "s"]).unwrap(), "strict\n");
    assert_eq!(complete(&["node", "completions", "f"]).unwrap(), "fish\n");
}

#[test]
fn what_this_version_lacks_is_said_and_not_faked() {
    let temp = Temp::new();
    let data = temp.data("d");
    let lines: &[&[&str]] = &[&["find", NOBODY], &["dht", "get", NOBODY, "x"], &["relay", "list"]];
    for line in lines {
        let said = data.json(line);
        assert_eq!(said.error(1), "not_found", "{line:?}");
        assert!(said.err.contains("not in this version"), "{}", said.err);
    }
    let up = data.up(&["--relay", "--socks5", "127.0.0.1:0", "--no-dht"]);
    for feature in ["relay", "socks5"] {
        let problem = up.event("problem");
        assert_keys(&problem, "event, t, what, hint");
        assert_eq!(problem["what"], format!("{feature} is not in this version"));
    }
    let problems = data.json(&["status"]).object()["problems"].as_array().unwrap().len();
    assert_eq!(problems, 2);
}

#[test]
fn the_demo_works() {
    let said = run(&["demo", "--json"]);
    assert_eq!(said.code, 0, "{}", said.err);
    let lines = said.json();
    let steps: Vec<&str> = lines.iter().filter_map(|line| line["step"].as_str()).collect();
    assert_eq!(steps, ["start", "connect", "lookup", "message", "lookup", "ping"]);
    assert!(lines.iter().all(|line| line["elapsed_ms"].as_f64().unwrap() > 0.0));
    assert_eq!(lines.last().unwrap()["ok"], true);
    let said = run(&["demo"]);
    assert!(said.code == 0 && said.out.contains("All of it worked"), "{}", said.out);
    assert!(said.out.is_ascii() || !said.out.contains('\u{1b}'), "no colour in a pipe");
}
