//! What pinhole puts on the wire: ids, addresses, frames, messages.

mod bech32m;
pub mod id;
pub mod key;
pub mod network;

pub use id::{ParsePeerIdError, PeerId, PeerIdError, SignatureError};
pub use key::{SecretKey, SeedError};
pub use network::{NetworkKey, ParseNetworkKeyError};
