//! Tier loopback: real sockets and, further down, the real program.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

mod cuts;
mod flood;
mod mesh;
mod scanner;
mod streams;
