//! `top`, on a pseudoterminal as on a real one.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Termios, Winsize, tcgetattr, tcsetwinsize};

use super::support::*;

/// A terminal on which the program runs, in a session of its own.
struct Terminal {
    keyboard: File,
    /// Kept open, so that the terminal can be asked after the program's end.
    line: File,
    before: Termios,
    output: Arc<(Mutex<Vec<u8>>, Condvar)>,
    child: Child,
}

/// What is on the screen, and the modes it is in.
#[derive(Debug)]
struct Screen {
    lines: Vec<String>,
    /// Every line that was drawn since the screen was cleared, was at most so wide.
    widest: usize,
    is_alternate: bool,
    has_cursor: bool,
    wraps: bool,
    has_ended: bool,
}

/// What the test writes last.
const END: &str = "<the end>";

impl Terminal {
    /// Runs `top`; `None` where the machine lacks what a terminal's session takes.
    fn run(data: &Data, width: u16, height: u16) -> Option<Self> {
        if Command::new("setsid").arg("true").status().is_err() {
            println!("skipped: there is no `setsid` (on Debian: apt install util-linux)");
            return None;
        }
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap().into_string().unwrap();
        let line = OpenOptions::new().read(true).write(true).open(name).unwrap();
        let keyboard = File::from(master);
        resize(&keyboard, width, height);
        let before = tcgetattr(&line).unwrap();
        // `-c` makes the terminal the session's own, so that changes of its size are signalled.
        let child = Command::new("setsid")
            .args(["-c", env!("CARGO_BIN_EXE_node"), "--data", data.text(), "top"])
            .env_remove("NO_COLOR")
            .stdin(Stdio::from(line.try_clone().unwrap()))
            .stdout(Stdio::from(line.try_clone().unwrap()))
            .stderr(Stdio::from(line.try_clone().unwrap()))
            .spawn()
            .unwrap();
        let output = Arc::<(Mutex<Vec<u8>>, Condvar)>::default();
        let (mut screen, shared) = (keyboard.try_clone().unwrap(), output.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = screen.read(&mut buffer) {
                shared.0.lock().unwrap().extend_from_slice(&buffer[..count]);
                shared.1.notify_all();
            }
        });
        Some(Self { keyboard, line, before, output, child })
    }

    fn press(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    fn resize(&self, width: u16, height: u16) {
        resize(&self.keyboard, width, height);
    }

    /// Waits until something holds for the screen.
    #[track_caller]
    fn wait_for(&self, what: &str, holds: impl Fn(&Screen) -> bool) -> Screen {
        let deadline = Instant::now() + LONG;
        let mut output = self.output.0.lock().unwrap();
        loop {
            let screen = Screen::of(&output);
            if holds(&screen) {
                return screen;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what} never came; the screen: {screen:#?}");
            output = self.output.1.wait_timeout(output, left).unwrap().0;
        }
    }

    /// Waits for the end, and checks that the terminal is as it was.
    #[track_caller]
    fn end(mut self) -> (i32, String) {
        let code = or_kill(self.child.id(), || code(self.child.wait().unwrap()));
        // Comes after everything that the program wrote.
        self.line.write_all(END.as_bytes()).unwrap();
        let screen = self.wait_for("the end", |screen| screen.has_ended);
        assert!(!screen.is_alternate && screen.has_cursor && screen.wraps, "{screen:?}");
        let after = tcgetattr(&self.line).unwrap();
        assert_eq!(after.local_modes, self.before.local_modes);
        assert_eq!(after.input_modes, self.before.input_modes);
        assert_eq!(after.output_modes, self.before.output_modes);
        let output = self.output.0.lock().unwrap();
        (code, String::from_utf8_lossy(&output).into_owned())
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn resize(terminal: &File, width: u16, height: u16) {
    let size = Winsize { ws_col: width, ws_row: height, ws_xpixel: 0, ws_ypixel: 0 };
    tcsetwinsize(terminal, size).unwrap();
}

impl Screen {
    /// What a terminal shows after this output, of which the last piece may be cut off.
    fn of(output: &[u8]) -> Self {
        let text = String::from_utf8_lossy(output);
        let mode = |name: &str, default: bool| {
            let last = |end: &str| text.rfind(&format!("\x1b[?{name}{end}"));
            if last("h") == last("l") { default } else { last("h") > last("l") }
        };
        let drawn = text.rfind("\x1b[2J").map_or("", |at| &text[at + 4..]);
        let grid = draw(drawn);
        let widest = grid.iter().map(Vec::len).max().unwrap_or(0);
        let lines = grid.into_iter().map(|line| line.into_iter().collect::<String>());
        Self {
            lines: lines.map(|line| line.trim_end().to_owned()).collect(),
            widest,
            is_alternate: mode("1049", false),
            has_cursor: mode("25", true),
            wraps: mode("7", true),
            has_ended: text.ends_with(END),
        }
    }

    fn line(&self, number: usize) -> &str {
        self.lines.get(number).map_or("", String::as_str)
    }

    fn row(&self, peer: &str) -> Option<&str> {
        self.lines.iter().map(String::as_str).find(|line| line.starts_with(&peer[..10]))
    }
}

/// The lines of an endless screen after this output.
fn draw(mut text: &str) -> Vec<Vec<char>> {
    let mut grid: Vec<Vec<char>> = Vec::new();
    let (mut row, mut column) = (0, 0);
    while let Some(c) = text.chars().next() {
        if let Some(sequence) = text.strip_prefix("\x1b[") {
            let Some(end) = sequence.find(|c: char| c.is_ascii_alphabetic()) else { break };
            let numbers: Vec<usize> =
                sequence[..end].split(';').map(|number| number.parse().unwrap_or(1)).collect();
            match &sequence[end..=end] {
                "H" => (row, column) = (numbers[0] - 1, numbers[1] - 1),
                "K" => grid.get_mut(row).into_iter().for_each(|line| line.truncate(column)),
                "m" | "h" | "l" => {}
                other => panic!("this screen does not know {other}"),
            }
            text = &sequence[end + 1..];
            continue;
        }
        text = &text[c.len_utf8()..];
        if c == '\x1b' {
            break;
        }
        if grid.len() <= row {
            grid.resize(row + 1, Vec::new());
        }
        grid[row].resize(column, ' ');
        grid[row].push(c);
        column += 1;
    }
    grid
}

#[test]
fn values_follow_the_node_and_the_terminal_is_given_back() {
    let temp = Temp::new();
    let (data, others) = (temp.data("d"), [temp.data("o"), temp.data("p")]);
    let up = data.up(&[]);
    let others = others.map(|other| other.up(&[]));
    let connect = |other: &Up| assert_eq!(data.json(&["connect", &other.addr()]).code, 0);
    connect(&others[0]);
    let Some(mut terminal) = Terminal::run(&data, 80, 24) else { return };

    let peer = others[0].peer();
    let screen = terminal.wait_for("a connected peer", |screen| {
        screen.row(&peer).is_some_and(|row| row.contains("connected") && row.contains('▁'))
    });
    assert!(screen.is_alternate && !screen.has_cursor && !screen.wraps);
    assert!(screen.line(0).starts_with(&up.peer()[..40]), "{screen:#?}");
    assert!(screen.line(1).starts_with("1 connected, 1 known "), "{screen:#?}");
    assert!(screen.line(3).starts_with("PEER ") && screen.line(3).ends_with(" FOR"), "{screen:#?}");
    assert!(screen.line(23).starts_with("q quit  s sort: state  1-1 of 1"), "{screen:#?}");
    assert!(screen.row(&peer).unwrap().contains("direct 127.0.0."), "{screen:#?}");

    let uptime = screen.line(0).to_owned();
    terminal.wait_for("another uptime", |screen| screen.line(0) != uptime);
    connect(&others[1]);
    let second = others[1].peer();
    terminal.wait_for("a second peer", |screen| {
        screen.line(1).starts_with("2 connected, 2 known ") && screen.row(&second).is_some()
    });
    assert_eq!(data.json(&["send", &peer, &"x".repeat(60_000)]).code, 0);
    terminal.wait_for("sent bytes", |screen| {
        let total =
            screen.line(1).rsplit_once('(').and_then(|(_, total)| total.strip_suffix(" kB)"));
        total.is_some_and(|total| total.parse::<f64>().unwrap() > 60.0)
    });
    assert_eq!(data.json(&["disconnect", &second]).code, 0);
    terminal.wait_for("a disconnected peer", |screen| {
        screen.row(&second).is_some_and(|row| row.contains(" disconnected "))
    });

    terminal.press("s");
    terminal.wait_for("the next order", |screen| screen.line(23).contains("s sort: rtt"));
    terminal.press("\x1b[B\x1b[6~x");
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn the_screen_follows_the_size_of_the_terminal() {
    let temp = Temp::new();
    let (data, other) = (temp.data("d"), temp.data("o"));
    let _up = data.up(&[]);
    let other = other.up(&[]);
    assert_eq!(data.json(&["connect", &other.addr()]).code, 0);
    let Some(mut terminal) = Terminal::run(&data, 80, 24) else { return };
    let foot_at = |line: usize| move |screen: &Screen| screen.line(line).starts_with("q quit  ");

    let usual = terminal.wait_for("80x24", foot_at(23));
    assert!(usual.lines.len() == 24 && usual.widest <= 80, "{usual:#?}");
    terminal.resize(120, 40);
    let large = terminal.wait_for("120x40", foot_at(39));
    assert!(large.lines.len() == 40 && large.widest > 80 && large.widest <= 120, "{large:#?}");
    let addr = other.ready["listen"][0].as_str().unwrap();
    assert!(large.row(&other.peer()).unwrap().contains(addr), "{large:#?}");
    terminal.resize(40, 10);
    let small = terminal.wait_for("40x10", foot_at(9));
    assert!(small.lines.len() == 10 && small.widest <= 40, "{small:#?}");
    assert!(!small.line(3).contains("ADDRESS") && small.line(3).starts_with("PEER "), "{small:#?}");
    terminal.resize(1, 1);
    terminal.wait_for("1x1", |screen| (screen.lines.len(), screen.widest) == (1, 1));

    // Ctrl-C.
    terminal.press("\x03");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_node_that_stops_is_said_on_a_restored_terminal() {
    let temp = Temp::new();
    let data = temp.data("d");
    let up = data.up(&[]);
    let Some(terminal) = Terminal::run(&data, 80, 24) else { return };
    terminal.wait_for("the screen", |screen| screen.line(2) == "no problems");
    assert_eq!(up.stop("TERM").0, 0);
    let (code, output) = terminal.end();
    assert_eq!(code, 1);
    let (_, after) = output.rsplit_once("\x1b[?1049l").unwrap();
    assert!(after.starts_with("node: the node stopped; "), "{after:?}");
}

#[test]
fn a_node_that_does_not_answer_is_said_until_it_does() {
    let temp = Temp::new();
    let data = temp.data("d");
    let up = data.up(&[]);
    let Some(mut terminal) = Terminal::run(&data, 80, 24) else { return };
    terminal.wait_for("the screen", |screen| screen.line(2) == "no problems");
    signal(up.pid(), "STOP");
    let is_silent = |screen: &Screen| screen.line(2).starts_with("the node has not answered for ");
    terminal.wait_for("the silence", is_silent);
    signal(up.pid(), "CONT");
    terminal.wait_for("the answer", |screen| screen.line(2) == "no problems");
    terminal.press("q");
    assert_eq!(terminal.end().0, 0);
}

#[test]
fn a_signal_restores_the_terminal_too() {
    let temp = Temp::new();
    let data = temp.data("d");
    let _up = data.up(&[]);
    let Some(terminal) = Terminal::run(&data, 80, 24) else { return };
    terminal.wait_for("the screen", |screen| screen.line(2) == "no problems");
    signal(terminal.child.id(), "TERM");
    assert_eq!(terminal.end().0, 143);
}

#[test]
fn without_a_node_or_a_terminal_it_says_so_and_touches_nothing() {
    let temp = Temp::new();
    let data = temp.data("d");
    assert_eq!(data.json(&["top"]).error(2), "usage");
    let said = data.text_of(&["top"]);
    assert!(said.code == 2 && said.err.contains("`status --json`"), "{}", said.err);
    let Some(terminal) = Terminal::run(&data, 80, 24) else { return };
    let (code, output) = terminal.end();
    assert_eq!(code, 1);
    assert!(output.starts_with("node: no node runs on ") && !output.contains('\x1b'), "{output:?}");
}
