//! Authenticated QUIC between [`PeerId`](pinhole_proto::PeerId)s.
//!
//! An [`Endpoint`] listens on UDP sockets and dials peers by id and address. Both ends of a
//! [`Connection`] know who the other is after one round trip, and an idempotent request can leave
//! with the very first datagram. To whoever does not know the endpoint's id and network key, it
//! is silent.
//!
//! ```
//! # use pinhole_proto::SecretKey;
//! # use pinhole_transport::{AdmitAll, Config, Endpoint};
//! # use std::sync::Arc;
//! # fn key() -> SecretKey { SecretKey::generate(|b| getrandom::fill(b).expect("randomness")) }
//! # let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
//! # runtime.block_on(async {
//! let local = || Config::new(vec![([127, 0, 0, 1], 0).into()]);
//! let server = Endpoint::bind(&key(), local(), Arc::new(AdmitAll))?;
//! let client = Endpoint::bind(&key(), local(), Arc::new(AdmitAll))?;
//!
//! let inbound = { let server = server.clone(); async move { server.accept().await } };
//! let dial = client.dial(server.peer_id(), server.listen_addrs())?;
//! let (dialed, inbound) = tokio::join!(dial.established(), inbound);
//! let accepted = inbound.ok_or("closed")?.confirmed().await?;
//! assert_eq!(dialed?.peer(), server.peer_id());
//! assert_eq!(accepted.peer(), client.peer_id());
//! # Ok::<_, Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Cores (plain state machines without clock or I/O): `handshake`, `gate`, `paths`, `packet`,
//! `cid`, `controller`. Shells: `session`, `pulse`, `links`, `socket`, `endpoint`, `dial`,
//! `inbound`, `connection`, `stream`.

mod cid;
mod config;
mod connection;
mod controller;
mod counters;
mod dial;
#[allow(clippy::disallowed_methods)] // shell
mod endpoint;
mod error;
mod gate;
mod handshake;
mod inbound;
mod links;
mod packet;
mod paths;
mod protection;
mod pulse;
mod session;
#[allow(clippy::disallowed_methods)] // shell
mod socket;
mod stream;
#[cfg(any(test, feature = "testing"))]
#[allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used)]
pub mod testing; // no part of the public interface
mod tokens;

pub use config::{Admission, AdmitAll, Config};
pub use connection::{Connection, ConnectionStats};
pub use counters::Counters;
pub use dial::{Dial, IdempotentProtocol};
pub use endpoint::Endpoint;
pub use error::{
    BindError, Closed, ClosedBy, ConnectError, DatagramError, DialError, RequestError, StreamError,
};
pub use gate::GateCounters;
pub use inbound::{EarlyOffer, EarlyStream, Inbound};
pub use protection::Suite;
pub use pulse::Vitals;
pub use stream::{Offer, RecvHalf, SendHalf, Stream};

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks; a panic elsewhere while the lock was held does not spread.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Random bytes of the operating system.
#[expect(
    clippy::disallowed_methods,
    reason = "for shells only; cores get their bytes as arguments"
)]
#[expect(clippy::expect_used, reason = "without randomness no key is safe, and nothing can go on")]
fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the operating system gives random bytes");
    bytes
}
