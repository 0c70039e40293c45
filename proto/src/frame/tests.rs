use super::*;
use crate::testing::Rng;

/// Feeds `stream` in pieces and returns the frames and the error, if there is one.
fn feed(
    decoder: &mut FrameDecoder,
    stream: &[u8],
    mut piece: impl FnMut() -> usize,
) -> (Vec<Vec<u8>>, Result<(), FrameError>) {
    let (mut frames, mut at) = (Vec::new(), 0);
    while at < stream.len() {
        let end = (at + piece().max(1)).min(stream.len());
        let mut input = &stream[at..end];
        at = end;
        loop {
            match decoder.next(&mut input) {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => break,
                Err(error) => return (frames, Err(error)),
            }
        }
        assert!(input.is_empty());
    }
    (frames, decoder.finish())
}

/// Bytes that the decoder has taken for bodies.
fn capacity(decoder: &FrameDecoder) -> usize {
    decoder.partial.as_ref().map_or(0, |partial| partial.body.capacity())
}

#[test]
fn a_whole_frame_is_not_copied_and_one_in_pieces_is() {
    let mut decoder = FrameDecoder::new(100);
    let stream = [2, 7, 8, 1, 9, 3, 4];
    let mut input = &stream[..];
    for body in [&[7, 8][..], &[9]] {
        let frame = decoder.next_borrowed(&mut input).unwrap().unwrap();
        assert!(matches!(frame, Cow::Borrowed(frame) if frame == body));
    }
    assert_eq!(decoder.next_borrowed(&mut input), Ok(None));
    assert!(input.is_empty() && !decoder.is_between_frames());
    let frame = decoder.next_borrowed(&mut &[5, 6][..]).unwrap().unwrap();
    assert!(matches!(frame, Cow::Owned(frame) if frame == [4, 5, 6]));
    assert!(decoder.is_between_frames());
}

#[test]
fn frames_come_out_whole_however_they_arrive() {
    let mut rng = Rng::new(40);
    for seed in 0..100 {
        let mut stream = Vec::new();
        let mut sent = Vec::new();
        for _ in 0..rng.below(8) {
            let length = *rng.pick(&[0, 1, 63, 64, 65, 1200, 16_383, 16_384, 16_385]);
            sent.push(rng.bytes(length));
            encode_frame(sent.last().unwrap(), &mut stream);
        }
        let mut decoder = FrameDecoder::new(20_000);
        let largest = *rng.pick(&[1, 2, 7, 1500, 100_000]);
        let (frames, end) = feed(&mut decoder, &stream, || 1 + rng.below(largest));
        assert!(frames == sent && end.is_ok(), "seed {seed}");
    }
}

#[test]
fn a_frame_at_the_limit_passes_and_one_beyond_is_refused_by_its_length_alone() {
    for limit in [0, 1, 63, 64, 8192, 65_556] {
        let mut stream = Vec::new();
        encode_frame(&vec![7; limit], &mut stream);
        let (frames, end) = feed(&mut FrameDecoder::new(limit), &stream, || 1000);
        assert!(frames[0].len() == limit && end.is_ok());

        let mut prefix = Vec::new();
        encode_varint(limit as u64 + 1, &mut prefix);
        let mut decoder = FrameDecoder::new(limit);
        let (_, end) = feed(&mut decoder, &prefix, || 1);
        assert_eq!(end, Err(FrameError::TooLarge { length: limit as u64 + 1, limit }));
        assert_eq!(capacity(&decoder), 0);
    }
}

#[test]
fn an_announced_length_costs_no_memory() {
    let mut stream = Vec::new();
    encode_varint(1 << 29, &mut stream);
    stream.extend_from_slice(&[0; 100]);
    let mut decoder = FrameDecoder::new(1 << 29);
    assert_eq!(decoder.next(&mut stream.as_slice()), Ok(None));
    assert!(capacity(&decoder) <= 200);
    assert_eq!(decoder.wants(), (1 << 29) - 100);
}

#[test]
fn memory_stays_within_the_limit_and_twice_what_arrived() {
    let mut stream = Vec::new();
    encode_frame(&vec![1; 50_000], &mut stream);
    let mut decoder = FrameDecoder::new(50_000);
    for (i, byte) in stream.iter().enumerate() {
        let _ = decoder.next(&mut std::slice::from_ref(byte)).unwrap();
        assert!(capacity(&decoder) <= (2 * (i + 1)).min(50_000));
    }
}

#[test]
fn only_the_shortest_length() {
    for stream in [
        &[0x40, 0x00][..],
        &[0x40, 0x3f],
        &[0x80, 0, 0x3f, 0xff],
        &[0xc0, 0, 0, 0, 0x3f, 0xff, 0xff, 0xff],
    ] {
        let (_, end) = feed(&mut FrameDecoder::new(100), stream, || 1);
        assert_eq!(end, Err(FrameError::NotMinimal), "{stream:?}");
    }
}

#[test]
fn the_largest_length_is_too_large_and_nothing_else() {
    let (_, end) = feed(&mut FrameDecoder::new(100), &[0xff; 8], || 3);
    assert_eq!(end, Err(FrameError::TooLarge { length: (1 << 62) - 1, limit: 100 }));
}

#[test]
fn an_end_in_a_frame_is_seen() {
    for stream in [&[0x40][..], &[2], &[2, 1]] {
        let (_, end) = feed(&mut FrameDecoder::new(100), stream, || 1);
        assert_eq!(end, Err(FrameError::Truncated));
    }
    let (frames, end) = feed(&mut FrameDecoder::new(100), &[2, 1, 1, 0], || 4);
    assert_eq!((frames, end), (vec![vec![1, 1], vec![]], Ok(())));
}

#[test]
fn wants_never_reaches_into_the_next_frame() {
    let mut stream = Vec::new();
    encode_frame(&[5; 300], &mut stream);
    encode_frame(&[6; 3], &mut stream);
    let mut decoder = FrameDecoder::new(300);
    let (mut at, mut frames) = (0, 0);
    while at < stream.len() {
        let mut input = &stream[at..at + decoder.wants()];
        at += input.len();
        let frame = decoder.next(&mut input).unwrap();
        assert!(input.is_empty());
        if frame.is_some() {
            assert!(decoder.is_between_frames());
            frames += 1;
        }
    }
    assert_eq!(frames, 2);
}

#[test]
fn the_limit_can_change_between_frames() {
    let mut stream = Vec::new();
    encode_frame(&[1; 4], &mut stream);
    encode_frame(&[2; 40], &mut stream);
    let (mut decoder, mut input) = (FrameDecoder::new(4), stream.as_slice());
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().len(), 4);
    decoder.set_limit(40);
    assert_eq!(decoder.next(&mut input).unwrap().unwrap().len(), 40);
}

#[test]
fn rfc_9000_appendix_a_1() {
    let cases: [(u64, &[u8]); 4] = [
        (151_288_809_941_952_652, &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c]),
        (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
        (15_293, &[0x7b, 0xbd]),
        (37, &[0x25]),
    ];
    for (value, bytes) in cases {
        let mut out = Vec::new();
        encode_varint(value, &mut out);
        assert_eq!(out, bytes);
        assert_eq!(Prefix::default().read(&mut &out[..]), Ok(Some(value)));
    }
}

#[test]
fn no_bytes_make_it_panic() {
    let mut rng = Rng::new(41);
    for _ in 0..5_000 {
        let length = rng.below(200);
        let stream = rng.bytes(length);
        let largest = 1 + rng.below(50);
        let _ = feed(&mut FrameDecoder::new(64), &stream, || 1 + rng.below(largest));
    }
}
