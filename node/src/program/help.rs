//! The one-screen help, and the help of one command, from the table.

use std::fmt::Write;

use super::table::{COMMANDS, Flag, GLOBAL, Spec};

const WIDTH: usize = 80;

/// All commands and flags on one screen. `program` is the name that the program was called by.
pub(crate) fn screen(program: &str) -> String {
    let mut text = format!(
        "{program} {}: dial a public key, get an authenticated QUIC connection\n\n\
         usage: {program} [--data DIR] [--json] [-v|-q] COMMAND …\n\n",
        env!("CARGO_PKG_VERSION")
    );
    for spec in COMMANDS {
        command_line(&mut text, spec);
    }
    text.push_str("\nPEER is an id (pin1…), PEER@HOST:PORT or PEER@/ip4/…/udp/…\n");
    let everywhere: Vec<String> = GLOBAL.iter().map(written).collect();
    wrapped(&mut text, "everywhere: ", &everywhere);
    let _ = writeln!(text, "`{program} COMMAND --help` explains the flags of a command.");
    text
}

/// One command with its flags explained.
pub(crate) fn of(program: &str, spec: &Spec) -> String {
    let flags = if spec.flags.is_empty() { "" } else { " [FLAGS]" };
    let operands = if spec.operands.is_empty() { "" } else { " " };
    let mut text = format!(
        "{}\n\nusage: {program} {}{flags}{operands}{}\n\n",
        spec.about, spec.name, spec.operands
    );
    for flag in spec.flags.iter().chain(GLOBAL) {
        let _ = writeln!(text, "  {:<26} {}", written(flag), flag.about);
    }
    text
}

fn command_line(text: &mut String, spec: &Spec) {
    let head = format!("  {} {}", spec.name, spec.operands);
    let _ = writeln!(text, "{:<25}{}", head.trim_end(), spec.about);
    let flags: Vec<String> = spec.flags.iter().map(|flag| format!("[{}]", written(flag))).collect();
    if !flags.is_empty() {
        wrapped(text, "      ", &flags);
    }
}

fn wrapped(text: &mut String, lead: &str, words: &[String]) {
    let mut width = lead.chars().count();
    text.push_str(lead);
    for (i, word) in words.iter().enumerate() {
        let length = word.chars().count();
        if i > 0 && width + 1 + length > WIDTH {
            text.push_str("\n      ");
            width = 6;
        } else if i > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += length;
    }
    text.push('\n');
}

fn written(flag: &Flag) -> String {
    let many = if flag.many && flag.value.is_some() { "…" } else { "" };
    let short = flag.short.map(|letter| format!("-{letter}"));
    match (short, flag.value) {
        (Some(short), Some(value)) => format!("{short} {value}{many}"),
        (Some(short), None) => format!("{short}|--{}", flag.long),
        (None, Some(value)) => format!("--{} {value}{many}", flag.long),
        (None, None) => format!("--{}", flag.long),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_holds_everything_and_fits() {
        let text = screen("pinhole");
        assert!(text.lines().count() <= 50, "{} lines", text.lines().count());
        for line in text.lines() {
            assert!(line.chars().count() <= WIDTH, "{line}");
        }
        for spec in COMMANDS {
            assert!(text.contains(&format!("\n  {} ", spec.name)), "{}", spec.name);
            for flag in spec.flags {
                assert!(text.contains(&written(flag)), "{} {}", spec.name, flag.long);
            }
        }
        assert!(!text.contains("node ["), "the program calls itself by the name it was called by");
    }

    #[test]
    fn the_help_of_a_command_explains_each_flag() {
        for spec in COMMANDS {
            let text = of("pinhole", spec);
            assert!(spec.flags.iter().all(|flag| text.contains(flag.about)), "{}", spec.name);
        }
    }
}
