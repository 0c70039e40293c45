//! The content of the vector files.

mod addresses;
mod dht;
mod identity;
mod liveness;
mod protocols;
mod records;
mod streams;

use serde_json::Value;

/// File names and contents.
pub(crate) fn all() -> [(&'static str, String); 7] {
    [
        ("identity.json", pretty(&identity::file())),
        ("addresses.json", pretty(&addresses::file())),
        ("streams.json", pretty(&streams::file())),
        ("protocols.json", pretty(&protocols::file())),
        ("liveness.json", pretty(&liveness::file())),
        ("dht.json", pretty(&dht::file())),
        ("records.json", pretty(&records::file())),
    ]
}

fn pretty(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("a JSON value can be written");
    text.push('\n');
    text
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes that are made from a label, so that anybody can make them again: its SHA-256.
fn bytes(label: &str) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(format!("pinhole vector {label}")).into()
}

/// The first of the keys `label 0`, `label 1`, … whose sign bit is clear.
fn key(label: &str) -> pinhole_proto::SecretKey {
    let mut count = 0;
    pinhole_proto::SecretKey::generate(|seed| {
        *seed = bytes(&format!("{label} {count}"));
        count += 1;
    })
}

fn peer(label: &str) -> pinhole_proto::PeerId {
    key(label).peer_id()
}
