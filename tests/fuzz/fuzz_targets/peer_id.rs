//! Ids, keys and names as text and as bytes. SPEC §2, §6.1.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::planted;
use pinhole_proto::{NetworkKey, ParsePeerIdError, PeerId, Protocol};

fuzz_target!(|bytes: &[u8]| {
    if let Some(bytes) = bytes.first_chunk::<32>()
        && let Ok(peer) = PeerId::from_bytes(*bytes)
    {
        assert_eq!(peer.to_string().parse(), Ok(peer));
        assert_eq!(peer.as_bytes(), bytes);
        let _ = peer.check_torsion();
        let _ = peer.noise_public();
    }
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match text.parse::<PeerId>() {
        Ok(peer) => assert_eq!(peer.to_string(), text.to_ascii_lowercase()),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            planted(matches!(error, ParsePeerIdError::Checksum { likely: Some(at) } if at > 30));
        }
    }
    if let Ok(key) = text.parse::<NetworkKey>() {
        assert_eq!(key.to_file().trim(), text.trim_ascii().to_ascii_lowercase());
        assert_ne!(key.quic_version(), 0);
    }
    if let Ok(protocol) = text.parse::<Protocol>() {
        assert_eq!(protocol.as_str(), text);
        assert!(protocol.version() > 0 && !protocol.name().is_empty());
    }
});
