use super::*;
use crate::testing::Rng;
use curve25519_dalek::constants::EIGHT_TORSION;
use curve25519_dalek::montgomery::MontgomeryPoint;

fn parse(text: &str) -> Result<PeerId, ParsePeerIdError> {
    text.parse()
}

#[test]
fn the_text_form_round_trips_and_fits_a_dns_label() {
    let mut rng = Rng::new(1);
    for _ in 0..200 {
        let peer = rng.peer();
        let text = peer.to_string();
        assert_eq!(text.len(), PeerId::TEXT_LEN);
        assert!(text.starts_with("pin1") && text.len() <= 63);
        assert_eq!(parse(&text), Ok(peer));
        assert_eq!(parse(&text.to_uppercase()), Ok(peer));
        assert!(text.starts_with(&peer.short()));
        assert_eq!(format!("{peer:?}"), text);
    }
}

#[test]
fn one_wrong_character_is_found_wherever_it_is() {
    let mut rng = Rng::new(2);
    let text = rng.peer().to_string();
    for at in 4..text.len() {
        let other = loop {
            let c = *rng.pick(b"qpzry9x8gf2tvdw0s3jn54khce6mua7l");
            if c != text.as_bytes()[at] {
                break char::from(c);
            }
        };
        let wrong = format!("{}{other}{}", &text[..at], &text[at + 1..]);
        assert_eq!(parse(&wrong), Err(ParsePeerIdError::Checksum { likely: Some(at + 1) }));
    }
}

#[test]
fn two_swapped_characters_are_found() {
    let text = Rng::new(3).peer().to_string();
    for at in 4..text.len() - 1 {
        let mut bytes = text.clone().into_bytes();
        bytes.swap(at, at + 1);
        let swapped = String::from_utf8(bytes).unwrap();
        if swapped != text {
            assert_eq!(parse(&swapped).unwrap_err().kind(), "checksum");
        }
    }
}

#[test]
fn each_fault_of_a_text_has_its_error() {
    let text = Rng::new(4).peer().to_string();
    let mixed = format!("{}{}", text[..40].to_uppercase(), &text[40..]);
    let cases = [
        ("", "prefix"),
        ("pin", "prefix"),
        ("alice", "prefix"),
        ("pin1", "length"),
        (&text[..61], "length"),
        (&format!("{text}q"), "length"),
        (&mixed, "mixed_case"),
        (&text.replacen("pin1", "pinb", 1), "prefix"),
        (&format!("{}b{}", &text[..20], &text[21..]), "character"),
        (&format!("{}é{}", &text[..20], &text[21..]), "character"),
    ];
    for (wrong, kind) in cases {
        assert_eq!(parse(wrong).unwrap_err().kind(), kind, "{wrong:?}");
    }
    let wrong = format!("{}b{}", &text[..20], &text[21..]);
    assert_eq!(parse(&wrong), Err(ParsePeerIdError::Character { position: 21, found: 'b' }));
}

#[test]
fn ids_of_other_systems_are_named() {
    let cases = [
        ("12D3KooWGRUfyMnPZKrHYPTQy7RLfBAXBXZ6CbGpFq6TuCcMb3Hm", OtherFormat::Libp2p),
        ("QmYyQSo1c1Ym7orWxLYvCrM2EmxFTANf8wXmmE7DWjhx5N", OtherFormat::Libp2p),
        (&"ab".repeat(32), OtherFormat::Hex),
        ("6jfhwvskg5l6nwzvvkkbvl6w7xqw5ufz2vjwbfvhvqkxjzq4hrnq", OtherFormat::Base32),
    ];
    for (text, format) in cases {
        assert_eq!(parse(text), Err(ParsePeerIdError::OtherFormat(format)), "{text}");
        assert!(parse(text).unwrap_err().to_string().contains("pin1"));
    }
}

#[test]
fn only_canonical_points_are_ids() {
    let mut p = [0xff; 32];
    p[0] = 0xed;
    p[31] = 0x7f;
    let mut identity = [0; 32];
    identity[0] = 1;
    let mut p_plus_one = p;
    p_plus_one[0] = 0xee;
    let mut largest = p;
    largest[0] = 0xff;
    let mut minus_one = p;
    minus_one[0] = 0xec;
    let mut off_curve = [0; 32];
    off_curve[0] = 2;
    assert_eq!(PeerId::from_bytes(p), Err(PeerIdError::NonCanonical));
    assert_eq!(PeerId::from_bytes(p_plus_one), Err(PeerIdError::NonCanonical));
    assert_eq!(PeerId::from_bytes(largest), Err(PeerIdError::NonCanonical));
    assert_eq!(PeerId::from_bytes(identity), Err(PeerIdError::Identity));
    assert_eq!(PeerId::from_bytes(off_curve), Err(PeerIdError::NotOnCurve));
    let order_two = PeerId::from_bytes(minus_one).unwrap();
    assert_eq!(order_two.check_torsion(), Err(PeerIdError::Torsion));
}

#[test]
fn a_sign_bit_is_refused() {
    let mut rng = Rng::new(5);
    for _ in 0..50 {
        let mut bytes = rng.peer().to_bytes();
        bytes[31] |= 0x80;
        assert_eq!(PeerId::from_bytes(bytes), Err(PeerIdError::SignBit));
    }
}

#[test]
fn points_with_torsion_share_a_noise_key_no_more() {
    let mut rng = Rng::new(6);
    let mut seen = 0;
    for _ in 0..20 {
        let peer = rng.peer();
        assert_eq!(peer.check_torsion(), Ok(()));
        for torsion in &EIGHT_TORSION[1..] {
            let twisted = (peer.point() + torsion).compress().to_bytes();
            if let Ok(twisted) = PeerId::from_bytes(twisted) {
                assert_eq!(twisted.check_torsion(), Err(PeerIdError::Torsion));
                seen += 1;
            }
        }
    }
    assert!(seen > 20);
    for torsion in &EIGHT_TORSION {
        if let Ok(small) = PeerId::from_bytes(torsion.compress().to_bytes()) {
            assert_eq!(small.check_torsion(), Err(PeerIdError::Torsion));
        }
    }
}

#[test]
fn the_noise_keys_of_a_pair_belong_together() {
    let mut rng = Rng::new(7);
    for _ in 0..50 {
        let key = rng.key();
        let public = MontgomeryPoint::mul_base_clamped(*key.noise_private());
        assert_eq!(public.to_bytes(), key.peer_id().noise_public());
    }
}

#[test]
fn signatures_are_checked_strictly() {
    let key = Rng::new(8).key();
    let signature = key.sign(b"label: hello");
    let peer = key.peer_id();
    assert_eq!(peer.verify(b"label: hello", &signature), Ok(()));
    assert_eq!(peer.verify(b"label: hallo", &signature), Err(SignatureError));
    assert_eq!(Rng::new(9).peer().verify(b"label: hello", &signature), Err(SignatureError));
    for bit in 0..512 {
        let mut wrong = signature;
        wrong[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(peer.verify(b"label: hello", &wrong), Err(SignatureError), "bit {bit}");
    }
}

#[test]
fn a_signature_has_no_second_form() {
    // S + L verifies under rules that do not ask for S below L.
    const ORDER: [u8; 32] = [
        0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde,
        0x14, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
    ];
    let key = Rng::new(10).key();
    let mut signature = key.sign(b"x");
    let mut carry = 0;
    for (byte, order) in signature[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(order) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
    assert_eq!(key.peer_id().verify(b"x", &signature), Err(SignatureError));
}

#[test]
fn serde_writes_text_for_people_and_bytes_for_the_wire() {
    let peer = Rng::new(11).peer();
    let json = serde_json::to_string(&peer).unwrap();
    assert_eq!(json, format!("\"{peer}\""));
    assert_eq!(serde_json::from_str::<PeerId>(&json).unwrap(), peer);
    let wire = crate::encode(&peer, 32).unwrap();
    assert_eq!(wire, peer.as_bytes());
    assert_eq!(crate::decode::<PeerId>(&wire), Ok(peer));
}

#[test]
fn no_text_and_no_bytes_make_it_panic() {
    let mut rng = Rng::new(12);
    let text = rng.peer().to_string();
    for _ in 0..2_000 {
        let _ = PeerId::from_bytes(rng.array()).map(|peer| peer.check_torsion());
        let length = rng.below(80);
        let noise = String::from_utf8_lossy(&rng.bytes(length)).into_owned();
        let _ = parse(&noise);
        let _ = parse(&format!("pin1{noise}"));
        let cut = rng.below(text.len());
        let _ = parse(&format!("{}{noise}", &text[..cut]));
    }
}
