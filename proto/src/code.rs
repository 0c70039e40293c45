//! The application error codes of streams and connections: one table. SPEC §6.4, §6.5.

use std::fmt;

/// Who caused what a code reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fault {
    /// Nobody: it is how things go.
    Nobody,
    /// The side that sent the code.
    Sender,
    /// The side that receives the code.
    Receiver,
}

/// Writes an enum of codes with its table: variant, number, name, fault, what it means.
macro_rules! codes {
    ($(#[$doc:meta])* $type:ident {
        $($variant:ident = $code:literal, $name:literal, $fault:ident, $text:literal;)*
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum $type {
            $(#[doc = concat!("Code ", stringify!($code), ": ", $text, ".")] $variant,)*
        }

        impl $type {
            /// Every code, in the order of the table.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The number on the wire, a QUIC varint.
            #[must_use]
            pub const fn code(self) -> u64 {
                match self { $(Self::$variant => $code,)* }
            }

            /// The code with this number; `None` for a number that this version does not know.
            #[must_use]
            pub const fn from_code(code: u64) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }

            /// The name in logs, JSON and vectors.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// Who is at fault.
            #[must_use]
            pub const fn fault(self) -> Fault {
                match self { $(Self::$variant => Fault::$fault,)* }
            }

            /// What it means, for a person who reads the code that a peer sent.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.text())
            }
        }
    };
}

codes! {
    /// Why one side gives up a stream: in `RESET_STREAM` and `STOP_SENDING`. SPEC §6.4.
    ///
    /// Numbers from [`FIRST_OF_APPLICATIONS`] on belong to the applications' own protocols.
    StreamCode {
        Cancelled = 0x00, "cancelled", Nobody, "the peer no longer wants this exchange";
        UnknownProtocol = 0x01, "unknown_protocol", Nobody, "the peer does not speak this protocol, or not this version of it";
        UnknownVariant = 0x02, "unknown_variant", Nobody, "the message asks for something that the peer's version does not know yet";
        FrameTooLarge = 0x03, "frame_too_large", Receiver, "we sent a frame longer than the protocol allows";
        Malformed = 0x04, "malformed", Receiver, "we sent something that the peer could not read";
        EarlyData = 0x05, "early_data", Receiver, "we sent in early data what may only be sent once the connection is confirmed";
        NotConfirmed = 0x06, "not_confirmed", Nobody, "the peer has not seen our confirmation yet; the request can be sent again";
        Busy = 0x07, "busy", Nobody, "the peer is at one of its limits; try again later";
        Denied = 0x08, "denied", Nobody, "the peer does not allow us to do this";
        Timeout = 0x09, "timeout", Receiver, "we were too slow, and the peer stopped waiting";
        Shutdown = 0x0a, "shutdown", Nobody, "the peer is stopping";
        Internal = 0x0b, "internal", Sender, "something went wrong inside of the peer";
    }
}

codes! {
    /// Why one side ends a connection: in `CONNECTION_CLOSE` of type 0x1d. SPEC §6.5.
    CloseCode {
        Normal = 0x00, "normal", Nobody, "the peer closed the connection without giving a reason";
        Shutdown = 0x01, "shutdown", Nobody, "the peer's node stopped";
        Duplicate = 0x02, "duplicate", Nobody, "another connection between the same two peers stays";
        Denied = 0x03, "denied", Nobody, "the peer does not allow us to connect";
        Idle = 0x04, "idle", Nobody, "nobody used the connection for a while";
        ProtocolViolation = 0x05, "protocol_violation", Receiver, "we broke a rule of the protocol";
        HandshakeTimeout = 0x06, "handshake_timeout", Nobody, "the handshake did not finish in time";
        Disconnect = 0x07, "disconnect", Nobody, "the peer's user asked to disconnect";
        Busy = 0x08, "busy", Nobody, "the peer has as many connections as it allows; try again later";
        Internal = 0x09, "internal", Sender, "something went wrong inside of the peer";
        Lost = 0x0a, "lost", Nobody, "the peer heard nothing from us for too long";
    }
}

/// The first stream code that the spec leaves to applications. SPEC §6.4.
pub const FIRST_OF_APPLICATIONS: u64 = 0x100;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_and_names_are_unique_and_round_trip() {
        let mut names = BTreeSet::new();
        for &code in StreamCode::ALL {
            assert_eq!(StreamCode::from_code(code.code()), Some(code));
            assert!(names.insert(code.as_str()));
            assert!(code.code() < FIRST_OF_APPLICATIONS);
        }
        names.clear();
        for &code in CloseCode::ALL {
            assert_eq!(CloseCode::from_code(code.code()), Some(code));
            assert!(names.insert(code.as_str()));
        }
    }

    #[test]
    fn numbers_are_dense_so_that_none_is_lost() {
        for (i, code) in StreamCode::ALL.iter().enumerate() {
            assert_eq!(code.code(), i as u64);
        }
        for (i, code) in CloseCode::ALL.iter().enumerate() {
            assert_eq!(code.code(), i as u64);
        }
    }

    #[test]
    fn unknown_numbers_are_no_code() {
        for code in [0x0c, 0xff, 0x100, u64::MAX] {
            assert_eq!(StreamCode::from_code(code), None);
        }
        assert_eq!(CloseCode::from_code(0x0b), None);
    }
}
