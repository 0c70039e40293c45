use super::*;
use crate::testing::Rng;
use serde::Deserialize;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Shape {
    Dot,
    Circle(u32),
    Box { width: u16, height: i64 },
    Path(Vec<(i16, i32)>),
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Drawing {
    title: String,
    visible: bool,
    shapes: Vec<Shape>,
    parent: Option<Box<Drawing>>,
    scale: f32,
    key: [u8; 4],
    size: (u64, i8, f64),
    nothing: (),
}

fn shape(rng: &mut Rng) -> Shape {
    match rng.below(4) {
        0 => Shape::Dot,
        1 => Shape::Circle(rng.word() as u32 >> rng.below(32)),
        2 => Shape::Box { width: rng.word() as u16, height: rng.word() as i64 },
        _ => Shape::Path((0..rng.below(4)).map(|_| (rng.word() as i16, -1)).collect()),
    }
}

fn drawing(rng: &mut Rng, depth: usize) -> Drawing {
    Drawing {
        title: "ä".repeat(rng.below(100)),
        visible: rng.below(2) == 0,
        shapes: (0..rng.below(5)).map(|_| shape(rng)).collect(),
        parent: (depth > 0).then(|| Box::new(drawing(rng, depth - 1))),
        scale: rng.below(1000) as f32 / 7.0,
        key: rng.array(),
        size: (rng.word() >> rng.below(64), rng.word() as i8, 0.5),
        nothing: (),
    }
}

#[test]
fn what_the_postcard_crate_writes_is_read() {
    let mut rng = Rng::new(60);
    for seed in 0..500 {
        let sent = drawing(&mut rng, seed % 3);
        let body = encode(&sent, usize::MAX).unwrap();
        assert_eq!(decode::<Drawing>(&body), Ok(sent));
    }
}

/// On damaged messages, our decoder and the crate's agree, but for what ours is stricter about:
/// each value has one encoding.
#[test]
fn a_value_is_read_exactly_from_its_one_encoding() {
    let mut rng = Rng::new(61);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..20_000 {
        let mut body = encode(&drawing(&mut rng, 0), usize::MAX).unwrap();
        for _ in 0..rng.below(3) {
            let at = rng.below(body.len());
            body[at] = rng.word() as u8;
        }
        if rng.below(4) == 0 {
            body.truncate(rng.below(body.len()));
        }
        let theirs = postcard::from_bytes::<Drawing>(&body).ok();
        let canonical = |value: &Drawing| encode(value, usize::MAX).unwrap() == body;
        match decode::<Drawing>(&body) {
            Ok(ours) => {
                assert_eq!(encode(&ours, usize::MAX).unwrap(), body);
                accepted += 1;
            }
            Err(error) => {
                assert!(!theirs.as_ref().is_some_and(canonical), "{error} for {body:?}");
                refused += 1;
            }
        }
    }
    assert!(accepted > 1000 && refused > 1000, "{accepted} {refused}");
}

#[test]
fn an_unknown_variant_is_told_from_a_malformed_message() {
    let error = decode::<Shape>(&[4]).unwrap_err();
    assert_eq!(error, DecodeError::UnknownVariant { of: "Shape", index: 4 });
    assert_eq!(error.code(), StreamCode::UnknownVariant);
    let error = decode::<Shape>(&[2, 1]).unwrap_err();
    assert_eq!((error.kind(), error.code()), ("end", StreamCode::Malformed));
    let nested = decode::<Vec<Shape>>(&[2, 0, 9]).unwrap_err();
    assert_eq!(nested, DecodeError::UnknownVariant { of: "Shape", index: 9 });
    assert_eq!(decode::<Shape>(&[0x84, 0]).unwrap_err().kind(), "varint");
}

#[test]
fn each_fault_has_its_error() {
    assert_eq!(decode::<u32>(&[]), Err(DecodeError::End));
    assert_eq!(decode::<u32>(&[1, 2, 3]), Err(DecodeError::Trailing { bytes: 2 }));
    assert_eq!(decode::<u32>(&[0x80, 0]), Err(DecodeError::Varint));
    assert_eq!(decode::<bool>(&[2]), Err(DecodeError::Flag(2)));
    assert_eq!(decode::<Option<u8>>(&[7, 1]), Err(DecodeError::Flag(7)));
    assert_eq!(decode::<String>(&[1, 0xff]), Err(DecodeError::Utf8));
    assert_eq!(decode::<String>(&[9, b'a']), Err(DecodeError::End));
    assert_eq!(decode::<char>(&[1, b'a']).unwrap_err().kind(), "unsupported");
}

#[test]
fn a_count_beyond_the_message_takes_neither_memory_nor_time() {
    let mut body = vec![0xff; 9];
    body.push(0x01);
    assert_eq!(decode::<Vec<()>>(&body), Err(DecodeError::End));
    assert_eq!(decode::<Vec<u64>>(&body), Err(DecodeError::End));
    assert_eq!(decode::<String>(&body), Err(DecodeError::End));
}

#[test]
fn a_message_beyond_its_limit_is_not_sent() {
    assert_eq!(encode(&[0u8; 4], 4).unwrap().len(), 4);
    let error = encode(&[0u8; 5], 4).unwrap_err();
    assert_eq!(error, EncodeError::TooLarge { length: 5, limit: 4 });
}
