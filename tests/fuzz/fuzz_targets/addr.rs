//! Addresses as text. SPEC §3.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_proto::{Candidate, MAX_CANDIDATES, PeerAddr};

fuzz_target!(|text: &str| {
    match text.parse::<PeerAddr>() {
        Ok(addr) => {
            assert!(addr.candidates.len() <= MAX_CANDIDATES);
            let canonical = addr.to_string();
            assert_eq!(canonical.parse().as_ref(), Ok(&addr), "{canonical}");
            assert_eq!(canonical.parse::<PeerAddr>().map(|a| a.to_string()), Ok(canonical));
            for line in addr.lines() {
                assert!(line.parse::<PeerAddr>().is_ok(), "{line}");
            }
            let odd = |c: &Candidate| matches!(c, Candidate::Relay { port: 1..100, .. });
            planted(addr.candidates.iter().any(odd));
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
