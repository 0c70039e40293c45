//! What the fuzz targets share.

/// A bug that is planted behind `condition` with the feature `planted`. The condition asks for
/// depth: bytes that get there went through all of the code that the target is for.
pub fn planted(condition: bool) {
    assert!(!(cfg!(feature = "planted") && condition), "the planted bug");
}

/// Calls `take` with pieces of `bytes`; the first byte says how long they are.
pub fn in_pieces(bytes: &[u8], mut take: impl FnMut(&[u8])) {
    let Some((&len, rest)) = bytes.split_first() else { return };
    rest.chunks(usize::from(len).max(1)).for_each(&mut take);
}
