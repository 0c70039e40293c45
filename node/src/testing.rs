//! What the unit tests of several modules need.

use pinhole_proto::PeerId;

/// The `n`th of many valid ids; their order is that of their numbers.
pub(crate) fn peer(n: u32) -> PeerId {
    (0..=u8::MAX)
        .find_map(|last| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&n.to_be_bytes());
            bytes[30] = last;
            PeerId::from_bytes(bytes).ok()
        })
        .expect("half of all numbers are points of the curve")
}
