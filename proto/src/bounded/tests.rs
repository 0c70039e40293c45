use super::*;
use crate::{DecodeError, decode, encode};

#[test]
fn bounds_hold_when_made_and_when_read() {
    assert!(Text::<3>::new("abc").is_ok() && Bytes::<3>::new([1, 2, 3]).is_ok());
    let error = Text::<3>::new("äb").map(|t| t.len());
    assert_eq!(error, Ok(3));
    assert_eq!(Text::<3>::new("ää"), Err(BoundError::TooLong { length: 4, limit: 3 }));
    assert_eq!(Bytes::<3>::new([0; 4]), Err(BoundError::TooLong { length: 4, limit: 3 }));
    assert_eq!(List::<u8, 3>::new([0; 4]), Err(BoundError::TooLong { length: 4, limit: 3 }));
    let body = [4, b'a', b'b', b'c', b'd'];
    assert_eq!(decode::<Text<4>>(&body).as_deref(), Ok("abcd"));
    assert_eq!(decode::<Text<3>>(&body).unwrap_err().kind(), "limit");
    assert_eq!(decode::<Bytes<3>>(&body).unwrap_err().kind(), "limit");
    assert_eq!(decode::<List<u8, 3>>(&body).unwrap_err().kind(), "limit");
    assert_eq!(
        decode::<List<u8, 3>>(&body).unwrap_err().to_string(),
        "4 is too long: a list of at most 3 elements"
    );
}

#[test]
fn a_text_can_be_shown_on_a_terminal() {
    for text in ["a\nb", "\u{1b}[2J", "\0", "\u{7f}", "\u{9b}1m"] {
        assert!(matches!(Text::<9>::new(text), Err(BoundError::Control(_))), "{text:?}");
    }
    let error = decode::<Text<9>>(&[2, 0x1b, b'[']).unwrap_err();
    assert!(matches!(error, DecodeError::Invalid(_)));
}

#[test]
fn they_are_written_like_plain_texts_and_lists() {
    let list = List::<u16, 5>::of_first(0..9);
    assert_eq!(encode(&list, 99), encode(&vec![0u16, 1, 2, 3, 4], 99));
    assert_eq!(encode(&Text::<5>::new("hi").unwrap(), 99), encode("hi", 99));
    assert_eq!(encode(&Bytes::<5>::new([1, 2]).unwrap(), 99).unwrap(), [2, 1, 2]);
}

#[test]
fn bytes_are_not_shown_in_logs() {
    assert_eq!(format!("{:?}", Bytes::<9>::new(*b"secret").unwrap()), "6 bytes");
}
