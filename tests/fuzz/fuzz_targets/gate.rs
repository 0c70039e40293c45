//! The gate under a sequence of operations. SPEC §5.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_transport::testing::fuzz;

fuzz_target!(|script: &[u8]| {
    let counters = fuzz::gate(script);
    planted(counters.retried > 0 && counters.replayed > 0 && counters.denied > 0);
});
