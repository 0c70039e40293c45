//! What was typed: words become a command of the table, its flags and its operands.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::str::FromStr;

use lexopt::Arg;

use super::failure::Failure;
use super::table::{self, COMMANDS, Flag, GLOBAL, Spec};

/// A command line, checked against the table and not yet understood.
#[derive(Debug)]
pub(crate) struct Typed {
    pub(crate) command: Option<&'static Spec>,
    values: Vec<(&'static Flag, Option<OsString>)>,
    operands: Vec<OsString>,
}

/// How much is said on stderr.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
    Verbose,
    Everything,
}

impl Typed {
    /// Reads the words after the program's name.
    pub(crate) fn parse(words: impl IntoIterator<Item = OsString>) -> Result<Self, Failure> {
        let mut typed = Self { command: None, values: Vec::new(), operands: Vec::new() };
        let mut parser = lexopt::Parser::from_args(words);
        while let Some(arg) = parser.next().map_err(unreadable)? {
            match arg {
                Arg::Value(word) => typed.word(word)?,
                Arg::Long(name) => {
                    let flag = typed.flag(&format!("--{name}"), |flag| flag.long == name)?;
                    typed.take(flag, &mut parser)?;
                }
                Arg::Short(letter) => {
                    let flag = typed.flag(&format!("-{letter}"), |f| f.short == Some(letter))?;
                    typed.take(flag, &mut parser)?;
                }
            }
        }
        Ok(typed)
    }

    fn word(&mut self, word: OsString) -> Result<(), Failure> {
        if self.command.is_some() {
            self.operands.push(word);
            return Ok(());
        }
        let name = word.to_string_lossy();
        self.command = Some(table::command(&name).ok_or_else(|| unknown_command(&name))?);
        Ok(())
    }

    fn flag(
        &self,
        written: &str,
        is_meant: impl Fn(&Flag) -> bool,
    ) -> Result<&'static Flag, Failure> {
        let own = self.command.map_or(&[][..], |spec| spec.flags);
        GLOBAL
            .iter()
            .chain(own)
            .find(|flag| is_meant(flag))
            .ok_or_else(|| unknown_flag(written, self.command, is_meant))
    }

    fn take(&mut self, flag: &'static Flag, parser: &mut lexopt::Parser) -> Result<(), Failure> {
        if !flag.many && self.values.iter().any(|(known, _)| known.long == flag.long) {
            return Err(Failure::usage(format!("--{} is given twice; give it once", flag.long)));
        }
        let value = match flag.value {
            None => None,
            Some(name) => Some(parser.value().map_err(|_| {
                Failure::usage(format!("--{} needs a value: --{0} {name}", flag.long))
            })?),
        };
        self.values.push((flag, value));
        Ok(())
    }

    /// Checks that there are as many operands as the command takes.
    pub(crate) fn check_operands(&self, program: &str) -> Result<(), Failure> {
        let Some(spec) = self.command else { return Ok(()) };
        let (min, max) = spec.count;
        let usage = format!("usage: {program} {} {}", spec.name, spec.operands);
        let usage = usage.trim_end();
        if self.operands.len() < min {
            return Err(Failure::usage(format!("{} needs more words; {usage}", spec.name)));
        }
        let Some(surplus) = self.operands.get(max) else { return Ok(()) };
        let quote = if spec.name == "send" { "; put a text with spaces in quotes" } else { "" };
        Err(Failure::usage(format!(
            "{} is one word too many for {}{quote}; {usage}",
            surplus.display(),
            spec.name
        )))
    }

    /// Whether a switch was given.
    pub(crate) fn has(&self, long: &str) -> bool {
        self.values.iter().any(|(flag, _)| flag.long == long)
    }

    /// The value of a flag as a path.
    pub(crate) fn path(&self, long: &str) -> Option<PathBuf> {
        self.all(long).next().map(PathBuf::from)
    }

    /// The value of a flag as text.
    pub(crate) fn text(&self, long: &str) -> Result<Option<String>, Failure> {
        self.texts(long).map(|all| all.into_iter().next())
    }

    /// Every value of a flag that may be given often.
    pub(crate) fn texts(&self, long: &str) -> Result<Vec<String>, Failure> {
        self.all(long).map(|value| utf8(&format!("--{long}"), value)).collect()
    }

    /// The value of a flag, parsed, with what it has to look like if it does not parse.
    pub(crate) fn parsed<T: FromStr>(&self, long: &str, form: &str) -> Result<Option<T>, Failure> {
        let Some(text) = self.text(long)? else { return Ok(None) };
        text.parse().map(Some).map_err(|_| {
            Failure::usage(format!("--{long} {text}: this is no {form}; correct the value"))
        })
    }

    /// The operands as text.
    pub(crate) fn operands(&self) -> Result<Vec<String>, Failure> {
        self.operands.iter().map(|word| utf8("the command line", word)).collect()
    }

    /// What `-v` and `-q` ask for.
    pub(crate) fn verbosity(&self) -> Result<Verbosity, Failure> {
        let verbose = self.values.iter().filter(|(flag, _)| flag.long == "verbose").count();
        match (self.has("quiet"), verbose) {
            (true, 0) => Ok(Verbosity::Quiet),
            (false, 0) => Ok(Verbosity::Normal),
            (false, 1) => Ok(Verbosity::Verbose),
            (false, _) => Ok(Verbosity::Everything),
            (true, _) => Err(Failure::usage("-v and -q contradict each other; give one")),
        }
    }

    fn all<'a>(&'a self, long: &'a str) -> impl Iterator<Item = &'a OsStr> {
        self.values
            .iter()
            .filter(move |(flag, _)| flag.long == long)
            .filter_map(|(_, value)| value.as_deref())
    }
}

fn utf8(what: &str, value: &OsStr) -> Result<String, Failure> {
    value.to_str().map(str::to_owned).ok_or_else(|| {
        Failure::usage(format!("{what}: {} is not valid UTF-8; correct it", value.display()))
    })
}

fn unreadable(error: lexopt::Error) -> Failure {
    Failure::usage(format!("the command line cannot be read: {error}; see --help"))
}

fn unknown_command(name: &str) -> Failure {
    let meant = table::nearest(name, COMMANDS.iter().map(|spec| spec.name));
    let hint = meant.map_or_else(
        || "--help lists the commands".to_owned(),
        |meant| format!("did you mean `{meant}`?"),
    );
    Failure::usage(format!("there is no command `{name}`; {hint}"))
}

fn unknown_flag(
    written: &str,
    command: Option<&'static Spec>,
    is_meant: impl Fn(&Flag) -> bool,
) -> Failure {
    let owner = COMMANDS.iter().find(|spec| spec.flags.iter().any(&is_meant));
    let place = match (command, owner) {
        (None, Some(owner)) => {
            return Failure::usage(format!(
                "{written} belongs after its command: {} {written}",
                owner.name
            ));
        }
        (None, None) => String::new(),
        (Some(spec), _) => format!(" of {}", spec.name),
    };
    let own = command.map_or(&[][..], |spec| spec.flags);
    let names = GLOBAL.iter().chain(own).map(|flag| flag.long);
    let meant = table::nearest(written.trim_start_matches('-'), names);
    let hint = match meant {
        Some(meant) => format!("did you mean --{meant}?"),
        None => "--help lists the flags; a text that begins with `-` goes after `--`".to_owned(),
    };
    Failure::usage(format!("there is no flag {written}{place}; {hint}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Typed, Failure> {
        Typed::parse(line.split_whitespace().map(OsString::from))
    }

    fn message(line: &str) -> String {
        parse(line).expect_err(line).message
    }

    #[test]
    fn global_flags_stand_anywhere() {
        for line in ["--data d --json ping -c 3 P", "ping P --json -c3 --data=d"] {
            let typed = parse(line).expect(line);
            assert_eq!(typed.command.map(|spec| spec.name), Some("ping"));
            assert_eq!(typed.path("data"), Some(PathBuf::from("d")));
            assert!(typed.has("json"));
            assert_eq!(typed.parsed::<u64>("count", "number").expect(line), Some(3));
            assert_eq!(typed.operands().expect(line), ["P"]);
        }
    }

    #[test]
    fn wrong_words_are_named_with_what_was_meant() {
        assert!(message("statsu").contains("did you mean `status`?"));
        assert!(message("up --lisen 1").contains("did you mean --listen?"));
        assert!(message("--listen 1 up").contains("belongs after its command: up --listen"));
        assert!(message("id --json --json").contains("given twice"));
        assert!(message("up --listen").contains("--listen ADDR:PORT"));
        assert!(message("up --json=yes").contains("cannot be read"));
    }

    #[test]
    fn a_dash_and_what_follows_two_dashes_are_operands() {
        assert_eq!(parse("send P -").unwrap().operands().unwrap(), ["P", "-"]);
        assert_eq!(parse("send P -- --json").unwrap().operands().unwrap(), ["P", "--json"]);
    }

    #[test]
    fn operands_are_counted() {
        let check = |line: &str| parse(line).unwrap().check_operands("pinhole");
        assert!(check("ping").unwrap_err().message.contains("usage: pinhole ping PEER"));
        assert!(check("send P two words").unwrap_err().message.contains("in quotes"));
        assert!(check("deny A B C D").is_ok());
        assert!(check("id extra").is_err());
    }

    #[test]
    fn verbose_and_quiet_exclude_each_other() {
        assert_eq!(parse("up -vv").unwrap().verbosity().unwrap(), Verbosity::Everything);
        assert_eq!(parse("up -q").unwrap().verbosity().unwrap(), Verbosity::Quiet);
        assert!(parse("up -v -q").unwrap().verbosity().is_err());
    }
}
