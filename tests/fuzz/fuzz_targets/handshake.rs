//! The two sessions of a handshake under a sequence of operations. SPEC §4.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_transport::testing::fuzz;

fuzz_target!(|script: &[u8]| {
    let progress = fuzz::handshake(script);
    planted(progress.dialer && progress.tampered);
});
