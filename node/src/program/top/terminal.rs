//! The terminal: its mode, its size, and lines on it (shell).

use std::io::{self, Write};

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};

use super::super::failure::{Failure, Kind};
use super::super::output::{End, Output};
use super::view::{Line, Size};

/// Alternate screen, no cursor, and lines that are cut instead of wrapped.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";
/// All of that undone.
const LEAVE: &str = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";
/// Where the terminal does not say.
const USUAL: Size = Size { width: 80, height: 24 };

/// The terminal in raw mode. Dropping this restores what was before.
pub(super) struct Terminal {
    before: Termios,
    clear: bool,
}

impl Terminal {
    /// Takes the terminal over.
    pub(super) fn enter() -> Result<Self, End> {
        let failed = |error: rustix::io::Errno| {
            Failure::new(
                Kind::Denied,
                format!("the terminal cannot be set up: {error}; `status` and `peers` need none"),
            )
        };
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw).map_err(failed)?;
        let terminal = Self { before, clear: false };
        write(ENTER)?;
        Ok(terminal)
    }

    pub(super) fn size(&self) -> Size {
        match tcgetwinsize(io::stdout()) {
            Ok(size) if size.ws_col > 0 && size.ws_row > 0 => {
                Size { width: size.ws_col.into(), height: size.ws_row.into() }
            }
            _ => USUAL,
        }
    }

    /// Draws on an empty screen the next time.
    pub(super) fn clear(&mut self) {
        self.clear = true;
    }

    /// Draws all lines, from the top.
    pub(super) fn draw(&mut self, lines: &[Line], output: &Output) -> Result<(), End> {
        let mut text = String::from(if std::mem::take(&mut self.clear) { "\x1b[2J" } else { "" });
        for (row, line) in lines.iter().enumerate() {
            text.push_str(&format!("\x1b[{};1H", row + 1));
            // What was there goes first: at the end of a full line it would take its last character.
            text.push_str("\x1b[K");
            for (color, piece) in line.pieces() {
                match color {
                    Some(color) => text.push_str(&output.paint(piece, *color)),
                    None => text.push_str(piece),
                }
            }
        }
        write(&text)
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // A terminal that is gone has nothing to be restored.
        let _ = write(LEAVE);
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.before);
    }
}

fn write(text: &str) -> Result<(), End> {
    let mut stdout = io::stdout().lock();
    // A terminal that is gone is no error: nobody looks.
    stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()).map_err(|_| End::ReaderGone)
}
