//! The messages in QUIC DATAGRAM frames. SPEC §10.2.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_proto::datagram::{Datagram, MAX_DATAGRAM};

fuzz_target!(|payload: &[u8]| {
    match Datagram::decode(payload) {
        Ok(datagram) => {
            assert!(payload.len() <= MAX_DATAGRAM);
            assert_eq!(datagram.encode(), payload);
            planted(matches!(datagram, Datagram::Heartbeat { seconds } if seconds.get() == 77));
        }
        Err(error) => assert!(!error.to_string().is_empty() && !error.kind().is_empty()),
    }
});
