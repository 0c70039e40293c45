//! bech32m (BIP 350) for one prefix and one length, with errors that point at the fault.
//!
//! Written by hand because it is fifty lines, and because a general decoder does not say where a
//! typing error is.

/// The text before the separator `1`. SPEC §2.3.
pub(crate) const PREFIX: &str = "pin";
/// Characters in the text form of 32 bytes: `pin1`, 52 of data, 6 of checksum. SPEC §2.3.
pub(crate) const TEXT_LEN: usize = 62;

const DATA_LEN: usize = 52;
const CHECKSUM_LEN: usize = 6;
const ALPHABET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
/// What the checksum of a valid bech32m string comes to. BIP 350.
const RESIDUE: u32 = 0x2bc8_30a3;

/// What is wrong with a bech32m text. Positions count characters from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TextFault {
    /// The text has another length than [`TEXT_LEN`].
    Length(usize),
    /// It does not begin with `pin1`.
    Prefix,
    /// Upper and lower case in one text.
    MixedCase,
    /// A character outside of the alphabet.
    Character { position: usize, found: char },
    /// The checksum does not fit; changing the one character at `likely` would mend it.
    Checksum { likely: Option<usize> },
    /// The four bits that fill up the last character are not zero.
    Padding,
}

/// Writes 32 bytes as 62 characters.
pub(crate) fn encode(bytes: &[u8; 32]) -> String {
    let mut symbols = to_symbols(bytes).to_vec();
    symbols.extend_from_slice(&checksum(&symbols));
    let mut text = String::with_capacity(TEXT_LEN);
    text.push_str(PREFIX);
    text.push('1');
    text.extend(symbols.iter().map(|&s| char::from(ALPHABET[usize::from(s)])));
    text
}

/// Reads 62 characters as 32 bytes; all upper case is accepted, as BIP 350 asks.
pub(crate) fn decode(text: &str) -> Result<[u8; 32], TextFault> {
    let lower = one_case(text)?;
    let data = lower.strip_prefix("pin1").ok_or(TextFault::Prefix)?;
    let symbols = data
        .chars()
        .enumerate()
        .map(|(i, c)| symbol(c).ok_or(TextFault::Character { position: i + 5, found: c }))
        .collect::<Result<Vec<u8>, _>>()?;
    if symbols.len() != DATA_LEN + CHECKSUM_LEN {
        return Err(TextFault::Length(symbols.len() + 4));
    }
    if residue(&symbols) != RESIDUE {
        return Err(TextFault::Checksum { likely: single_error(&symbols).map(|i| i + 5) });
    }
    from_symbols(&symbols[..DATA_LEN]).ok_or(TextFault::Padding)
}

fn one_case(text: &str) -> Result<String, TextFault> {
    let upper = text.chars().any(|c| c.is_ascii_uppercase());
    let lower = text.chars().any(|c| c.is_ascii_lowercase());
    if upper && lower {
        return Err(TextFault::MixedCase);
    }
    Ok(text.to_ascii_lowercase())
}

fn symbol(c: char) -> Option<u8> {
    let found = ALPHABET.iter().position(|&a| char::from(a) == c)?;
    u8::try_from(found).ok()
}

/// Cuts 256 bits into 51 groups of five and a last one of one bit and four zero bits.
fn to_symbols(bytes: &[u8; 32]) -> [u8; DATA_LEN] {
    let mut symbols = [0; DATA_LEN];
    for (i, symbol) in symbols.iter_mut().enumerate() {
        *symbol = (0..5).fold(0, |acc, b| (acc << 1) | bit(bytes, i * 5 + b));
    }
    symbols
}

fn bit(bytes: &[u8; 32], index: usize) -> u8 {
    bytes.get(index / 8).map_or(0, |byte| (byte >> (7 - index % 8)) & 1)
}

fn from_symbols(symbols: &[u8]) -> Option<[u8; 32]> {
    let mut bytes = [0u8; 32];
    for index in 0..symbols.len() * 5 {
        let bit = (symbols[index / 5] >> (4 - index % 5)) & 1;
        match bytes.get_mut(index / 8) {
            Some(byte) => *byte |= bit << (7 - index % 8),
            None if bit != 0 => return None,
            None => {}
        }
    }
    Some(bytes)
}

fn checksum(data: &[u8]) -> [u8; CHECKSUM_LEN] {
    let mut padded = data.to_vec();
    padded.extend_from_slice(&[0; CHECKSUM_LEN]);
    let value = residue(&padded) ^ RESIDUE;
    let mut out = [0; CHECKSUM_LEN];
    for (i, symbol) in out.iter_mut().enumerate() {
        *symbol = ((value >> (5 * (5 - i))) & 31) as u8;
    }
    out
}

/// The BCH remainder over the expanded prefix and `symbols`. BIP 173.
fn residue(symbols: &[u8]) -> u32 {
    let high = PREFIX.bytes().map(|b| b >> 5);
    let low = PREFIX.bytes().map(|b| b & 31);
    let all = high.chain([0]).chain(low).chain(symbols.iter().copied());
    all.fold(1, step)
}

fn step(acc: u32, symbol: u8) -> u32 {
    const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    let top = acc >> 25;
    let shifted = ((acc & 0x01ff_ffff) << 5) ^ u32::from(symbol);
    (0..5).filter(|i| (top >> i) & 1 == 1).fold(shifted, |acc, i| acc ^ GENERATOR[i])
}

/// Where one changed character would make the checksum fit. The code has distance 5 at this
/// length, so at most one place can; BIP 173 allows to show the place, not to mend it.
///
/// The code is linear: a change has the same effect on the residue whatever the other characters.
fn single_error(symbols: &[u8]) -> Option<usize> {
    let wanted = residue(symbols) ^ RESIDUE;
    (1..32).find_map(|change| {
        let mut effect = change;
        (0..symbols.len()).rev().find(|_| {
            let here = effect == wanted;
            effect = step(effect, 0);
            here
        })
    })
}
