//! What hostile tests, simulations and fuzzers need of the inside. No part of the public
//! interface: it exists only with the feature `testing`, and changes without notice.
//!
//! Everything here calls the very code that ships. [`InitialPacket`] and [`Hello`] make what a
//! stranger, a thief or a member of the network could send; [`VirtualPeer`] is both quinn
//! endpoints of a node with gate and paths, in virtual time and without sockets; the functions in
//! [`fuzz`] are the entry points of `tests/fuzz`.

pub mod fuzz;
mod initial;
mod peer;
mod rng;

pub use initial::{Hello, InitialPacket, OpenedInitial, Sender, crypto_frame, dialer_parameters};
pub use peer::{Status, VirtualPeer};
pub use rng::Rng;
