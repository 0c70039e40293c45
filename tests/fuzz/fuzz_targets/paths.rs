//! The paths of dials under a sequence of operations. SPEC §8.3.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_transport::testing::fuzz;

fuzz_target!(|script: &[u8]| {
    planted(fuzz::paths(script) >= 2);
});
