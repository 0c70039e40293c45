use super::*;
use crate::testing::Rng;

#[test]
fn the_public_key_is_the_hash_of_its_label() {
    let digest: [u8; 32] = Sha256::digest(b"pinhole public network 1").into();
    assert_eq!(NetworkKey::PUBLIC.as_bytes(), &digest);
    assert_eq!(NetworkKey::PUBLIC.quic_version().to_be_bytes(), *b"pin1");
}

#[test]
fn private_versions_are_neither_reserved_nor_anybody_elses() {
    let mut rng = Rng::new(30);
    for _ in 0..10_000 {
        let version = NetworkKey::from_bytes(rng.array()).quic_version();
        assert_eq!(version >> 30, 0b10);
        assert!(!is_reserved(version));
        assert_ne!(version, PUBLIC_QUIC_VERSION);
    }
}

#[test]
fn reserved_versions_are_those_of_rfc_9000() {
    assert!(is_reserved(0x0a0a_0a0a) && is_reserved(0xfa1a_2aba));
    assert!(!is_reserved(0x8a0a_0a0b) && !is_reserved(1));
}

#[test]
fn the_file_form_round_trips() {
    let mut rng = Rng::new(31);
    for _ in 0..100 {
        let key = NetworkKey::from_bytes(rng.array());
        let file = key.to_file();
        assert_eq!(file.len(), 65);
        assert_eq!(file.parse::<NetworkKey>().unwrap(), key);
        let windows = format!(" {}\r\n", file.trim_end().to_uppercase());
        assert_eq!(windows.parse::<NetworkKey>().unwrap(), key);
    }
}

#[test]
fn each_fault_of_a_file_has_its_error() {
    let good = "ab".repeat(32);
    let cases = [
        (String::new(), ParseNetworkKeyError::Empty),
        (" \n".to_owned(), ParseNetworkKeyError::Empty),
        (good[1..].to_owned(), ParseNetworkKeyError::Length(63)),
        (format!("{good}{good}"), ParseNetworkKeyError::Length(128)),
        (format!("{good}\n{good}"), ParseNetworkKeyError::Lines),
        (format!("ag{}", &good[2..]), ParseNetworkKeyError::Character { position: 2 }),
        (format!("aé{}", &good[2..]), ParseNetworkKeyError::Character { position: 2 }),
    ];
    for (text, error) in cases {
        assert_eq!(text.parse::<NetworkKey>(), Err(error), "{text:?}");
        assert!(!error.to_string().contains("abab"));
    }
}

#[test]
fn debug_shows_no_key() {
    assert_eq!(format!("{:?}", NetworkKey::PUBLIC), "NetworkKey(public)");
    assert_eq!(format!("{:?}", NetworkKey::from_bytes([7; 32])), "NetworkKey(private)");
}
