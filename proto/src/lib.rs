//! What pinhole puts on the wire: ids, addresses, frames, messages.
//!
//! Everything here is pure: no sockets, no clock, no randomness of its own, no tasks. The text
//! that it follows is `docs/spec/`, cited as `SPEC §n.m`; chapters 1, 2, 3, 6, 7
//! and the messages of 10 are this crate's, and `docs/vectors/` holds the values that it is tested against.
//!
//! - [`PeerId`], [`SecretKey`], [`NetworkKey`]: who one is, and in which network. SPEC §2.
//! - [`PeerAddr`], [`Candidate`], [`Host`]: where one may be reached. SPEC §3.
//! - [`FrameDecoder`], [`encode_frame`], [`Protocol`], [`StreamHeader`]: how a stream is cut into
//!   messages and what it is for. SPEC §6.
//! - [`StreamCode`], [`CloseCode`]: why a stream or a connection was given up. SPEC §6.4, §6.5.
//! - [`message`]: the messages of `ping/1`, `identify/1`, `message/1` and `reach/1`. SPEC §7.
//! - [`Datagram`]: heartbeats, in DATAGRAM frames. SPEC §10.2.
//! - [`dht`], [`Record`]: who is near a place, and what is kept there. SPEC §11, §12.
//! - [`decode()`], [`encode`]: bodies in the postcard format, for these and for other protocols.
//!   SPEC §1.4.
//!
//! ```
//! use pinhole_proto::message::{Exchange, Ping, PingBody};
//! use pinhole_proto::{
//!     FrameDecoder, HEADER_LIMIT, PeerAddr, SecretKey, StreamHeader, decode, encode, encode_frame,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // An identity. A real program fills the seed from the system's random source.
//! let mut byte = 0;
//! let key = SecretKey::generate(|seed| {
//!     byte += 1;
//!     seed.fill(byte);
//! });
//! let addr: PeerAddr = format!("{}@192.0.2.7:4433", key.peer_id()).parse()?;
//! assert_eq!(addr.peer, key.peer_id());
//!
//! // What a stream of `ping/1` carries.
//! let mut stream = Vec::new();
//! StreamHeader::new(Ping::PROTOCOL).encode_frame(&mut stream);
//! encode_frame(&encode(&PingBody { nonce: *b"12345678" }, Ping::REQUEST_LIMIT)?, &mut stream);
//!
//! // And what the other side makes of it.
//! let mut input = stream.as_slice();
//! let mut frames = FrameDecoder::new(HEADER_LIMIT);
//! let header = StreamHeader::decode(&frames.next(&mut input)?.ok_or("incomplete")?)?;
//! assert_eq!(header.protocol, Ping::PROTOCOL);
//! frames.set_limit(Ping::REQUEST_LIMIT);
//! let ping: PingBody = decode(&frames.next(&mut input)?.ok_or("incomplete")?)?;
//! assert_eq!(&ping.nonce, b"12345678");
//! # Ok(())
//! # }
//! ```

mod bech32m;

pub mod addr;
pub mod bounded;
pub mod code;
pub mod datagram;
pub mod decode;
pub mod dht;
pub mod frame;
pub mod header;
pub mod id;
pub mod key;
pub mod message;
pub mod network;
pub mod record;
pub mod rng;
#[cfg(test)]
mod testing;

pub use addr::{
    AddrError, Candidate, DnsName, Family, Host, MAX_CANDIDATES, ParseAddrError, PeerAddr,
};
pub use bounded::{BoundError, Bytes, List, Text};
pub use code::{CloseCode, Fault, StreamCode};
pub use datagram::{Datagram, DatagramError};
pub use decode::{DecodeError, EncodeError, decode, encode};
pub use frame::{FrameDecoder, FrameError, encode_frame, encode_varint, frame_len};
pub use header::{HEADER_LIMIT, MAX_PROTOCOL, Protocol, ProtocolError, StreamHeader};
pub use id::{OtherFormat, ParsePeerIdError, PeerId, PeerIdError, SignatureError};
pub use key::{SecretKey, SeedError};
pub use network::{NetworkKey, PUBLIC_QUIC_VERSION, ParseNetworkKeyError};
pub use record::{Record, RecordError};
