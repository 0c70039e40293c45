//! The configuration file: TOML, its keys those of the table in [`keys`].

mod doubts;
mod keys;
mod read;
mod template;

use std::fmt;
use std::path::{Path, PathBuf};

use super::data::read_text;
use super::failure::Failure;
use super::settings::Settings;

pub(crate) use doubts::{Doubt, about_addresses, why_not_dialed};
pub(crate) use template::template;

/// How bad a problem is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    /// A node does not start with it.
    Error,
    /// The entry is left out and the node starts; `check` still fails.
    Skipped,
    /// The entry is well written, and cannot be meant as it is. The node starts; `check` fails.
    Doubt,
    /// Nothing is wrong, but something will not happen.
    Note,
}

/// Line and column, in characters from 1.
pub(crate) type Place = (usize, usize);

/// Something about a configuration that a person should know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) level: Level,
    /// Where, in lines and characters from 1.
    pub(crate) line: usize,
    pub(crate) column: usize,
    pub(crate) what: String,
    pub(crate) hint: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}; {}", self.line, self.column, self.what, self.hint)
    }
}

/// A configuration file, read.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where it lies, or would lie.
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    /// Where each of the peers in the settings stands.
    places: Vec<Place>,
    /// In the order of the file.
    pub(crate) problems: Vec<Problem>,
}

impl Config {
    /// Reads the file that was named, or else `DATA/config.toml` if there is one.
    pub(crate) fn load(named: Option<PathBuf>, default: PathBuf) -> Result<Self, Failure> {
        let must_be_there = named.is_some();
        let path = named.unwrap_or(default);
        match read_text(&path) {
            Ok(Some(text)) => Ok(Self::parse(&text, path)),
            Ok(None) if must_be_there => Err(Failure::usage(format!(
                "there is no configuration file {}; check the path",
                path.display()
            ))),
            Ok(None) => Ok(Self::parse("", path)),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => {
                Err(Failure::usage(format!(
                    "the configuration {} is no text (UTF-8); write it anew: `init` in an empty \
                     folder makes one with every option",
                    path.display()
                )))
            }
            Err(error) => Err(Failure::io(
                format!("cannot read the configuration {}", path.display()),
                &error,
            )),
        }
    }

    fn parse(text: &str, path: PathBuf) -> Self {
        let folder = path.parent().unwrap_or(Path::new("")).to_owned();
        let read::Found { settings, places, problems } = read::read(text, &folder);
        Self { path, settings, places, problems }
    }

    /// An error with all that keeps a node from starting, if anything does.
    pub(crate) fn errors(&self) -> Result<(), Failure> {
        let errors: Vec<String> = self
            .problems
            .iter()
            .filter(|problem| problem.level == Level::Error)
            .map(|problem| format!("\n  {problem}"))
            .collect();
        if errors.is_empty() {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "the configuration {} is wrong:{}",
            self.path.display(),
            errors.concat()
        )))
    }
}
