//! The bodies of all messages. SPEC §1.4, §7. The first byte says which.
#![no_main]

use std::fmt::Debug;

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_proto::{
    Candidate, PeerAddr, PeerId, StreamHeader, decode, encode,
    message::{IdentifyReply, IdentifyRequest, Message, PingBody, ReachRequest, Reached, Receipt},
};
use serde::{Serialize, de::DeserializeOwned};

fuzz_target!(|bytes: &[u8]| {
    let Some((&which, body)) = bytes.split_first() else { return };
    match which % 11 {
        0 => drop(check::<PingBody>(body)),
        1 => drop(check::<IdentifyRequest>(body)),
        2 => {
            if let Some(reply) = check::<IdentifyReply>(body) {
                planted(!reply.listen.is_empty() && reply.observed.port() & 7 == 5);
            }
        }
        3 => drop(check::<Message>(body)),
        4 => drop(check::<Receipt>(body)),
        5 => drop(check::<PeerId>(body)),
        6 => drop(check::<PeerAddr>(body)),
        7 => drop(check::<Candidate>(body)),
        8 => drop(check::<ReachRequest>(body)),
        9 => drop(check::<Reached>(body)),
        _ => drop(StreamHeader::decode(body)),
    }
});

/// A body that decodes has no other encoding.
fn check<T: Serialize + DeserializeOwned + PartialEq + Debug>(body: &[u8]) -> Option<T> {
    match decode::<T>(body) {
        Ok(value) => {
            assert_eq!(encode(&value, usize::MAX).as_deref(), Ok(body));
            Some(value)
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && !error.kind().is_empty());
            None
        }
    }
}
