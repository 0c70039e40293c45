//! [`Host`]: a machine by address or by name. SPEC §3.1.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::ParseAddrError;

/// A machine. SPEC §3.1.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// By its address.
    Ip(IpAddr),
    /// By a name, to be resolved at each dial.
    Dns {
        /// The name.
        name: DnsName,
        /// Which of its addresses to use.
        family: Family,
    },
}

/// Which addresses of a name to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Family {
    /// All of them.
    #[default]
    Any,
    /// IPv4 only (`/dns4`).
    V4,
    /// IPv6 only (`/dns6`).
    V6,
}

impl Family {
    /// Whether an address belongs to the family.
    #[must_use]
    pub const fn includes(self, ip: &IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::V4 => ip.is_ipv4(),
            Self::V6 => ip.is_ipv6(),
        }
    }
}

impl Host {
    /// The multiaddr protocol that the host needs because `host:port` cannot express it, and the
    /// name.
    pub(super) const fn dns_protocol(&self) -> Option<(&'static str, &DnsName)> {
        match self {
            Self::Dns { name, family: Family::V4 } => Some(("dns4", name)),
            Self::Dns { name, family: Family::V6 } => Some(("dns6", name)),
            _ => None,
        }
    }

    /// Reads the host of `host:port`: an IPv4 address, an IPv6 address in brackets, or a name.
    pub(super) fn parse(text: &str) -> Result<Self, ParseAddrError> {
        if let Some(inner) = text.strip_prefix('[') {
            let inner = inner.strip_suffix(']').ok_or(ParseAddrError::Brackets)?;
            return parse_ip6(inner).map(Self::Ip);
        }
        if let Ok(ip) = text.parse::<Ipv4Addr>() {
            return Ok(Self::Ip(ip.into()));
        }
        Ok(Self::Dns { name: text.parse()?, family: Family::Any })
    }
}

/// Reads an IPv6 address without brackets. One that maps IPv4 becomes IPv4.
pub(super) fn parse_ip6(text: &str) -> Result<IpAddr, ParseAddrError> {
    if text.contains('%') {
        return Err(ParseAddrError::Zone);
    }
    let ip: Ipv6Addr = text.parse().map_err(|_| ParseAddrError::Ip(shorten(text)))?;
    Ok(IpAddr::V6(ip).to_canonical())
}

pub(super) fn parse_ip4(text: &str) -> Result<IpAddr, ParseAddrError> {
    let ip: Ipv4Addr = text.parse().map_err(|_| ParseAddrError::Ip(shorten(text)))?;
    Ok(IpAddr::V4(ip))
}

/// As much of what was typed as belongs into an error.
pub(super) fn shorten(text: &str) -> String {
    match text.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Dns { name, .. } => write!(f, "{name}"),
        }
    }
}

/// A host name in lower case, without a dot at its end. SPEC §3.1.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

/// The longest host name, in bytes. RFC 1035 §2.3.4.
const MAX_NAME: usize = 253;
/// The longest label of a host name, in bytes. RFC 1035 §2.3.4.
const MAX_LABEL: usize = 63;

impl DnsName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DnsName {
    type Err = ParseAddrError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let name = text.strip_suffix('.').unwrap_or(text);
        if !name.is_ascii() {
            return Err(ParseAddrError::Unicode(shorten(name)));
        }
        let labels_fit = name.split('.').all(is_label);
        if !labels_fit || name.len() > MAX_NAME {
            return Err(ParseAddrError::Name(shorten(name)));
        }
        if looks_like_ip4(name) {
            return Err(ParseAddrError::Ip(shorten(name)));
        }
        Ok(Self(name.to_ascii_lowercase()))
    }
}

fn is_label(label: &str) -> bool {
    let inside = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    (1..=MAX_LABEL).contains(&label.len())
        && !label.starts_with('-')
        && !label.ends_with('-')
        && label.bytes().all(inside)
}

/// No top level domain is a number, so a name that ends in one is a mistyped IPv4 address.
fn looks_like_ip4(name: &str) -> bool {
    name.rsplit('.').next().is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()))
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
