//! Standard output: lines for people or JSON for programs, and how a command ends.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::process::ExitCode;

use super::failure::Failure;
use super::json::Json;
use super::signals::Stop;
use super::view;
use super::wire::Answer;

/// Why a command ended before its work was done.
#[derive(Debug)]
pub(crate) enum End {
    /// It failed.
    Failed(Failure),
    /// Nobody reads our output any more, which is no error.
    ReaderGone,
    /// A signal ended it before it was done.
    Stopped(Stop),
}

impl From<Failure> for End {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Where answers go, and in which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Output {
    pub(crate) json: bool,
    color: bool,
}

impl Output {
    /// Human text or JSON; colour only on a terminal and without NO_COLOR.
    pub(crate) fn new(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { json, color: !json && wanted && io::stdout().is_terminal() }
    }

    /// An answer in the form that was asked for.
    pub(crate) fn answer(&self, answer: &Answer) -> Result<(), End> {
        if self.json {
            self.line(&answer.json.line())
        } else {
            self.text(&view::human(answer, self))
        }
    }

    /// An object for programs or a text for people.
    pub(crate) fn either(&self, object: &Json, text: &str) -> Result<(), End> {
        if self.json { self.line(&object.line()) } else { self.text(text) }
    }

    /// One line, as it is.
    pub(crate) fn line(&self, line: &str) -> Result<(), End> {
        self.text(&format!("{line}\n"))
    }

    /// Text, as it is.
    pub(crate) fn text(&self, text: &str) -> Result<(), End> {
        let mut stdout = io::stdout().lock();
        stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|error| match error
            .kind()
        {
            io::ErrorKind::BrokenPipe => End::ReaderGone,
            _ => End::Failed(Failure::io("cannot write to the standard output", &error)),
        })
    }

    /// A word in a colour, on a terminal.
    pub(crate) fn paint(&self, text: &str, color: Color) -> String {
        if self.color { format!("\x1b[{}m{text}\x1b[0m", color as u8) } else { text.to_owned() }
    }

    /// Tells how a command ended and gives the exit status.
    pub(crate) fn end(&self, program: &str, result: Result<(), End>) -> ExitCode {
        let failure = match result {
            Ok(()) | Err(End::ReaderGone) => return ExitCode::SUCCESS,
            Err(End::Stopped(stop)) => return ExitCode::from(stop.status()),
            Err(End::Failed(failure)) => failure,
        };
        let _ = writeln!(io::stderr(), "{program}: {failure}");
        if self.json {
            // Who does not read the error either gets the exit status.
            let _ = self.line(&failure.to_json().line());
        }
        ExitCode::from(failure.status())
    }
}

/// Whether both outputs are the same terminal, pipe or file.
pub(crate) fn stdout_is_stderr() -> bool {
    let place = |stream: io::Result<OwnedFd>| {
        let metadata = File::from(stream?).metadata()?;
        Ok::<_, io::Error>((metadata.dev(), metadata.ino()))
    };
    let stdout = place(io::stdout().as_fd().try_clone_to_owned()).ok();
    stdout.is_some() && stdout == place(io::stderr().as_fd().try_clone_to_owned()).ok()
}

/// Microseconds since 1970.
pub(crate) fn unix_micros() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
}

/// Colours of a terminal, by what they say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Color {
    Strong = 1,
    Bad = 31,
    Good = 32,
    Warn = 33,
    Quiet = 2,
}
