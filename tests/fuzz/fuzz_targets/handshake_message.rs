//! Handshake messages and what is inside Hello and Accept. SPEC §4.4.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_transport::testing::fuzz;

fuzz_target!(|bytes: &[u8]| {
    let kind = fuzz::message(bytes);
    let suites = fuzz::hello(bytes);
    let accepted = fuzz::accept(bytes);
    planted(suites == Some(3) || (kind == Some(3) && accepted == Some(true)));
});
