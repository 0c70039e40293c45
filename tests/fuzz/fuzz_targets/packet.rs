//! Datagrams before any key is known, and the frames of Initials that authenticate. SPEC §5.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_transport::testing::fuzz;

fuzz_target!(|bytes: &[u8]| {
    let (initial, _) = fuzz::packet(bytes);
    let message = fuzz::frames(bytes);
    // A whole Initial with a token; or frames around a whole handshake message.
    planted(initial && bytes.len() > 60 && bytes[0] & 0x30 == 0 && bytes[5] == 9);
    planted(message && bytes.first() == Some(&1));
});
