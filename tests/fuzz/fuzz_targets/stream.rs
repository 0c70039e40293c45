//! What a stream brings: a header, then frames, in pieces of any length. SPEC §6.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pinhole_fuzz::{in_pieces, planted};
use pinhole_proto::{FrameDecoder, HEADER_LIMIT, StreamHeader, encode_frame};

const LIMIT: usize = 300;

fuzz_target!(|bytes: &[u8]| {
    let whole = frames(bytes.get(1..).unwrap_or_default(), usize::MAX);
    let mut pieces = Frames::new();
    in_pieces(bytes, |piece| pieces.take(piece));
    assert_eq!(whole.frames, pieces.frames);
    assert_eq!(whole.failed, pieces.failed);

    // What was read is what is written again.
    let mut again = Vec::new();
    whole.frames.iter().for_each(|frame| encode_frame(frame, &mut again));
    assert!(bytes.get(1..).unwrap_or_default().starts_with(&again));

    let known = whole.frames.first().is_some_and(|frame| StreamHeader::decode(frame).is_ok());
    planted(known && whole.frames.len() == 3 && whole.frames[2].len() > 63);
});

struct Frames {
    decoder: FrameDecoder,
    frames: Vec<Vec<u8>>,
    failed: bool,
}

impl Frames {
    fn new() -> Self {
        Self { decoder: FrameDecoder::new(HEADER_LIMIT), frames: Vec::new(), failed: false }
    }

    fn take(&mut self, mut piece: &[u8]) {
        while !self.failed {
            match self.decoder.next(&mut piece) {
                Ok(Some(frame)) => {
                    let limit = if self.frames.is_empty() { HEADER_LIMIT } else { LIMIT };
                    assert!(frame.len() <= limit);
                    self.frames.push(frame);
                    self.decoder.set_limit(LIMIT);
                }
                Ok(None) => {
                    assert!(piece.is_empty());
                    return;
                }
                Err(_) => self.failed = true,
            }
        }
    }
}

fn frames(bytes: &[u8], len: usize) -> Frames {
    let mut frames = Frames::new();
    bytes.chunks(len.min(bytes.len()).max(1)).for_each(|piece| frames.take(piece));
    frames
}
