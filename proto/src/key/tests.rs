use super::*;
use crate::testing::Rng;

fn hex<const N: usize>(text: &str) -> [u8; N] {
    std::array::from_fn(|i| u8::from_str_radix(&text[2 * i..2 * i + 2], 16).unwrap())
}

#[test]
fn rfc_8032_section_7_1_test_1() {
    let seed = hex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60");
    let key = SecretKey::from_seed(seed).unwrap();
    let public = hex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a");
    assert_eq!(key.peer_id().to_bytes(), public);
    let signature = hex(
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e3970\
         1cf9b46bd25bf5f0595bbe24655141438e7a100b",
    );
    assert_eq!(key.sign(b""), signature);
    assert_eq!(key.peer_id().verify(b"", &signature), Ok(()));
}

#[test]
fn half_of_all_seeds_are_drawn_again() {
    let mut rng = Rng::new(20);
    let (mut draws, keys) = (0, 200);
    for _ in 0..keys {
        let key = SecretKey::generate(|seed| {
            draws += 1;
            *seed = rng.array();
        });
        assert_eq!(key.peer_id().as_bytes()[31] & 0x80, 0);
        assert_eq!(SecretKey::from_seed(*key.seed()).unwrap().peer_id(), key.peer_id());
    }
    assert!((300..500).contains(&draws), "{draws} draws for {keys} keys");
}

#[test]
fn a_seed_with_the_wrong_sign_is_an_error() {
    let mut rng = Rng::new(21);
    let refused = (0..100).filter(|_| SecretKey::from_seed(rng.array()).is_err()).count();
    assert!((25..75).contains(&refused));
}

#[test]
fn debug_shows_no_secret() {
    let key = Rng::new(22).key();
    let shown = format!("{key:?}");
    let seed: String = key.seed().iter().map(|b| format!("{b:02x}")).collect();
    assert!(!shown.contains(&seed) && shown.contains(&key.peer_id().short()));
}
