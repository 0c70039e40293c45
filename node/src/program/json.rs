//! JSON (RFC 8259) as this program needs it: objects keep the order of their keys, and numbers are
//! kept as they are written, so that nothing is rounded.
//!
//! Written here rather than taken from a crate: it costs the program four crates and 100 kB less.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::SocketAddr;
use std::time::Duration;

use pinhole_proto::PeerId;

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    /// As it is written.
    Number(String),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(Cow<'static, str>, Json)>),
}

/// An object with these keys, in this order.
macro_rules! object {
    ($($key:literal: $value:expr),* $(,)?) => {
        $crate::json::Json::Object(vec![$(($key.into(), $crate::json::Json::from($value))),*])
    };
}
pub(crate) use object;

impl Json {
    /// The value under a key; null if there is none, or if this is no object.
    pub(crate) fn get(&self, key: &str) -> &Json {
        match self {
            Self::Object(entries) => {
                entries.iter().find(|(name, _)| name == key).map_or(&Self::Null, |(_, value)| value)
            }
            _ => &Self::Null,
        }
    }

    /// The text; nothing if it is none.
    pub(crate) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The number, if it is a whole one from 0 to 2^64 − 1.
    pub(crate) fn whole(&self) -> Option<u64> {
        match self {
            Self::Number(number) => number.parse().ok(),
            _ => None,
        }
    }

    /// The number in thousandths, rounded down, if it is not negative and has no exponent.
    pub(crate) fn thousandths(&self) -> Option<u64> {
        match self {
            Self::Number(number) => thousandths(number),
            _ => None,
        }
    }

    /// The items of a list; none if it is no list.
    pub(crate) fn items(&self) -> &[Json] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }

    /// Whether it is `true`.
    pub(crate) fn is_true(&self) -> bool {
        *self == Self::Bool(true)
    }

    /// The value as one line.
    pub(crate) fn line(&self) -> String {
        let mut line = String::new();
        self.write(&mut line);
        line
    }

    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(true) => out.push_str("true"),
            Self::Bool(false) => out.push_str("false"),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => write_text(out, text),
            Self::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    out.push(if i == 0 { '[' } else { ',' });
                    item.write(out);
                }
                out.push_str(if items.is_empty() { "[]" } else { "]" });
            }
            Self::Object(entries) => {
                for (i, (key, value)) in entries.iter().enumerate() {
                    out.push(if i == 0 { '{' } else { ',' });
                    write_text(out, key);
                    out.push(':');
                    value.write(out);
                }
                out.push_str(if entries.is_empty() { "{}" } else { "}" });
            }
        }
    }

    /// Reads a value that is all of the text.
    pub(crate) fn parse(text: &str) -> Result<Self, &'static str> {
        let mut parser = Parser { rest: text };
        let value = parser.value(0)?;
        if parser.skip_space().is_empty() { Ok(value) } else { Err("something follows the value") }
    }
}

fn write_text(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\0'..='\u{1f}' | '\u{7f}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}

/// A decimal number in thousandths, rounded down.
pub(crate) fn thousandths(number: &str) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return None;
    }
    let first = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let part = first.fold(0, |part, digit| part * 10 + u64::from(digit - b'0'));
    whole.parse::<u64>().ok()?.checked_mul(1000)?.checked_add(part)
}

/// A number of thousandths, as a decimal number.
fn decimal(thousandths: u64) -> Json {
    Json::Number(format!("{}.{:03}", thousandths / 1000, thousandths % 1000))
}

/// Milliseconds with three decimals.
pub(crate) fn millis(time: Duration) -> Json {
    decimal(u64::try_from((time.as_nanos() + 500) / 1000).unwrap_or(u64::MAX))
}

/// Milliseconds with three decimals, from microseconds.
pub(crate) fn millis_of(micros: u64) -> Json {
    decimal(micros)
}

/// Seconds with three decimals.
pub(crate) fn seconds(time: Duration) -> Json {
    decimal(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

impl From<bool> for Json {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<u64> for Json {
    fn from(value: u64) -> Self {
        Self::Number(value.to_string())
    }
}

impl From<u32> for Json {
    fn from(value: u32) -> Self {
        u64::from(value).into()
    }
}

impl From<usize> for Json {
    fn from(value: usize) -> Self {
        (value as u64).into()
    }
}

impl From<&str> for Json {
    fn from(value: &str) -> Self {
        Self::Text(value.to_owned())
    }
}

impl From<String> for Json {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}

impl From<PeerId> for Json {
    fn from(value: PeerId) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<SocketAddr> for Json {
    fn from(value: SocketAddr) -> Self {
        Self::Text(value.to_string())
    }
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<T: Into<Json>> From<Vec<T>> for Json {
    fn from(value: Vec<T>) -> Self {
        Self::List(value.into_iter().map(Into::into).collect())
    }
}

/// How deep lists and objects may lie in each other.
const MAX_DEPTH: usize = 16;

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn value(&mut self, depth: usize) -> Result<Json, &'static str> {
        if depth > MAX_DEPTH {
            return Err("it is nested too deeply");
        }
        match self.skip_space().bytes().next() {
            Some(b'"') => self.text().map(Json::Text),
            Some(b'[') => self.list(depth),
            Some(b'{') => self.object(depth),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(_) => self.word(),
            None => Err("it ends too early"),
        }
    }

    fn word(&mut self) -> Result<Json, &'static str> {
        let words = [("null", Json::Null), ("true", true.into()), ("false", false.into())];
        for (word, value) in words {
            if self.take(word) {
                return Ok(value);
            }
        }
        Err("it is no JSON")
    }

    fn number(&mut self) -> Result<Json, &'static str> {
        let is_part = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let (number, rest) = self.rest.split_at(end);
        if !is_number(number) {
            return Err("a number is not well formed");
        }
        self.rest = rest;
        Ok(Json::Number(number.to_owned()))
    }

    fn list(&mut self, depth: usize) -> Result<Json, &'static str> {
        self.take("[");
        let mut items = Vec::new();
        while !self.take("]") {
            if !items.is_empty() && !self.take(",") {
                return Err("a comma is missing");
            }
            items.push(self.value(depth + 1)?);
        }
        Ok(Json::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Json, &'static str> {
        self.take("{");
        let mut entries = Vec::new();
        while !self.take("}") {
            if !entries.is_empty() && !self.take(",") {
                return Err("a comma is missing");
            }
            if !self.skip_space().starts_with('"') {
                return Err("a key is missing");
            }
            let key = self.text()?;
            if !self.take(":") {
                return Err("a colon is missing");
            }
            entries.push((key.into(), self.value(depth + 1)?));
        }
        Ok(Json::Object(entries))
    }

    fn text(&mut self) -> Result<String, &'static str> {
        self.take("\"");
        let mut text = String::new();
        loop {
            let mut chars = self.rest.chars();
            let c = chars.next().ok_or("a text does not end")?;
            self.rest = chars.as_str();
            match c {
                '"' => return Ok(text),
                '\\' => text.push(self.escape()?),
                '\0'..='\u{1f}' => return Err("a text has a control character"),
                _ => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, &'static str> {
        let mut chars = self.rest.chars();
        let c = chars.next().ok_or("a text does not end")?;
        self.rest = chars.as_str();
        Ok(match c {
            '"' | '\\' | '/' => c,
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => return self.unicode(),
            _ => return Err("an escape is unknown"),
        })
    }

    fn unicode(&mut self) -> Result<char, &'static str> {
        const WRONG: &str = "an escape is not well formed";
        let first = self.hex().ok_or(WRONG)?;
        if !(0xd800..0xdc00).contains(&first) {
            return char::from_u32(first).ok_or(WRONG);
        }
        let second = self.rest.strip_prefix("\\u").ok_or(WRONG)?;
        self.rest = second;
        let second = self.hex().filter(|low| (0xdc00..0xe000).contains(low)).ok_or(WRONG)?;
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00)).ok_or(WRONG)
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.rest.get(..4)?;
        self.rest = self.rest.get(4..)?;
        digits.bytes().all(|b| b.is_ascii_hexdigit()).then_some(())?;
        u32::from_str_radix(digits, 16).ok()
    }

    fn skip_space(&mut self) -> &'a str {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\r', '\n']);
        self.rest
    }

    fn take(&mut self, token: &str) -> bool {
        match self.skip_space().strip_prefix(token) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

/// `-? digits (. digits)? ([eE] [+-]? digits)?`, without needless zeros in front.
fn is_number(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let text = text.strip_prefix('-').unwrap_or(text);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    let exponent = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    digits(whole)
        && digits(fraction)
        && digits(exponent)
        && (whole == "0" || !whole.starts_with('0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let value = object! {
            "text": "a\"b\\c\n\u{1}\u{7f}ü😀",
            "numbers": vec![0u64, u64::MAX],
            "nothing": None::<u64>,
            "yes": true,
            "inner": object! { "empty": Vec::<u64>::new() },
        };
        assert_eq!(
            value.line(),
            "{\"text\":\"a\\\"b\\\\c\\n\\u0001\\u007fü😀\",\"numbers\":[0,18446744073709551615],\
             \"nothing\":null,\"yes\":true,\"inner\":{\"empty\":[]}}"
        );
        assert_eq!(Json::parse(&value.line()).unwrap(), value);
    }

    #[test]
    fn everything_that_json_allows_is_read() {
        let value =
            Json::parse(" { \"a\" : [ -0.5e+10 , \"\\u00fc\\ud83d\\ude00\\/\" ] } ").unwrap();
        assert_eq!(value.get("a").items()[0], Json::Number("-0.5e+10".into()));
        assert_eq!(value.get("a").items()[1].text(), Some("ü😀/"));
        assert_eq!(value.get("b"), &Json::Null);
        assert_eq!(value.text(), None);
    }

    #[test]
    fn everything_else_is_refused() {
        let deep = "[".repeat(100_000);
        let garbage = [
            "",
            "nul",
            "[",
            "[1",
            "[1,]",
            "[,1]",
            "[1 2]",
            "{",
            "{\"a\"}",
            "{\"a\":}",
            "{a:1}",
            "{\"a\":1,}",
            "\"",
            "\"\\x\"",
            "\"\\u12\"",
            "\"\\ud800\"",
            "\"\\ud800\\u0041\"",
            "\"\\u+123\"",
            "\"\n\"",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "1 1",
            "[]]",
            "--1",
            "1.2.3",
            "\"\\uüü\"",
            &deep,
        ];
        for text in garbage {
            assert!(Json::parse(text).is_err(), "{text:.50}");
        }
    }

    #[test]
    fn damaged_documents_are_judged_as_a_well_known_parser_judges_them() {
        let valid = [
            "{\"ask\":\"ping\",\"to\":[\"pin1\",null,true],\"n\":-1.5e3,\"t\":\"\\u00fc\\n\"}",
            "[[1,2],{\"a\":{\"b\":false}},\"\\ud83d\\ude00\",0.25]",
        ];
        let mut rng = pinhole_node::proto::rng::Rng::from_seed(11);
        let mut below = |bound: usize| (rng.next_u64() % bound as u64) as usize;
        for round in 0..20_000 {
            let mut bytes = valid[round % 2].as_bytes().to_vec();
            for _ in 0..=below(3) {
                let at = below(bytes.len());
                let pool = b"{}[]\",:\\u0e+-. 19tf";
                bytes[at] = pool[below(pool.len())];
            }
            let text = String::from_utf8(bytes).unwrap();
            let theirs = serde_json::from_str::<serde_json::Value>(&text);
            // Theirs also refuses numbers that are too large for a float.
            if !theirs.as_ref().is_err_and(|error| error.to_string().contains("out of range")) {
                assert_eq!(Json::parse(&text).is_ok(), theirs.is_ok(), "{text}");
            }
        }
    }

    #[test]
    fn times_have_three_decimals() {
        assert_eq!(millis(Duration::from_nanos(1_234_567)).line(), "1.235");
        assert_eq!(millis(Duration::ZERO).line(), "0.000");
        assert_eq!(seconds(Duration::from_millis(61_007)).line(), "61.007");
        assert_eq!(millis_of(1_500).line(), "1.500");
        assert_eq!(thousandths("1.5"), Some(1_500));
        assert_eq!(thousandths("0.0129"), Some(12));
        assert_eq!(thousandths("7"), Some(7_000));
        for text in ["", "-1", "1e3", "1.", ".5", "x", "99999999999999999999"] {
            assert_eq!(thousandths(text), None, "{text}");
        }
    }
}
