//! Keys, from the bytes that a terminal sends (core).

/// A key that means something here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Quit,
    Sort,
}

/// Reads keys; escape sequences may come in pieces.
#[derive(Debug, Default)]
pub(super) struct Keys {
    state: State,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    #[default]
    Plain,
    Escape,
    /// After `ESC [`, with the number that came so far.
    Sequence(u8),
    /// After `ESC O`.
    Single,
}

impl Keys {
    /// Takes a byte, and gives the key that it completes.
    pub(super) fn handle_byte(&mut self, byte: u8) -> Option<Key> {
        let (state, key) = match (self.state, byte) {
            (_, 0x1b) => (State::Escape, None),
            (State::Escape, b'[') => (State::Sequence(0), None),
            (State::Escape, b'O') => (State::Single, None),
            (State::Plain | State::Escape, _) => (State::Plain, plain(byte)),
            (State::Sequence(number), b'0'..=b'9') => {
                let digit = byte - b'0';
                (State::Sequence(number.saturating_mul(10).saturating_add(digit)), None)
            }
            // Parameters and intermediate bytes of sequences that mean nothing here.
            (State::Sequence(_), 0x20..=0x3f) => (State::Sequence(u8::MAX), None),
            (State::Sequence(number), b'~') => (State::Plain, numbered(number)),
            (State::Sequence(_) | State::Single, _) => (State::Plain, arrow(byte)),
        };
        self.state = state;
        key
    }
}

fn plain(byte: u8) -> Option<Key> {
    Some(match byte {
        // Ctrl-C; a raw terminal makes no signal of it.
        b'q' | b'Q' | 0x03 => Key::Quit,
        b's' => Key::Sort,
        b'k' => Key::Up,
        b'j' => Key::Down,
        _ => return None,
    })
}

fn arrow(byte: u8) -> Option<Key> {
    Some(match byte {
        b'A' => Key::Up,
        b'B' => Key::Down,
        b'H' => Key::Home,
        b'F' => Key::End,
        _ => return None,
    })
}

fn numbered(number: u8) -> Option<Key> {
    Some(match number {
        1 | 7 => Key::Home,
        4 | 8 => Key::End,
        5 => Key::PageUp,
        6 => Key::PageDown,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(bytes: &[u8]) -> Vec<Key> {
        let mut keys = Keys::default();
        bytes.iter().filter_map(|byte| keys.handle_byte(*byte)).collect()
    }

    #[test]
    fn both_forms_of_each_key_are_known() {
        use Key::{Down, End, Home, PageDown, PageUp, Quit, Sort, Up};
        assert_eq!(keys(b"\x1b[A\x1b[B\x1bOA\x1bOBkj"), [Up, Down, Up, Down, Up, Down]);
        assert_eq!(keys(b"\x1b[5~\x1b[6~"), [PageUp, PageDown]);
        assert_eq!(
            keys(b"\x1b[H\x1b[F\x1bOH\x1bOF\x1b[1~\x1b[4~\x1b[7~\x1b[8~"),
            [Home, End].repeat(4)
        );
        assert_eq!(keys(b"sq\x03"), [Sort, Quit, Quit]);
    }

    #[test]
    fn what_means_nothing_does_nothing() {
        // A mouse, a function key, a pasted mark, an overlong number, Alt-x, UTF-8, controls.
        let odd = b"\x1b[<0;3;4M\x1b[15~\x1b[200~\x1b[99999999999999~\x1bx\xc3\xbc\x00\x1a\x7f";
        assert_eq!(keys(odd), []);
    }

    #[test]
    fn an_escape_alone_does_not_eat_the_next_key() {
        assert_eq!(keys(b"\x1bq"), [Key::Quit]);
        assert_eq!(keys(b"\x1b\x1b[A"), [Key::Up]);
        assert_eq!(keys(b"\x1b[\x1b[5\x1b[A"), [Key::Up]);
    }
}
