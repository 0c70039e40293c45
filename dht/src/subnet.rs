//! [`Subnet`]: what one party probably holds all of. SPEC §11.5.
//!
//! *Purpose*: count nodes by the network that they are in, because addresses in many networks
//! cost more than ids. *Inputs*: addresses. *Outputs*: whether one more of the same network still
//! fits. *Not handled*: who owns a network; a cloud's customers may share one.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use pinhole_proto::dht::Addrs;

/// An IPv4 /24 or an IPv6 /48 of the public internet. SPEC §11.5.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subnet {
    /// The first three bytes.
    V4([u8; 3]),
    /// The first six bytes.
    V6([u8; 6]),
}

impl Subnet {
    /// The network of an address; `None` for private and local addresses, which are not counted:
    /// a whole LAN is in one of them, and nobody outside is.
    #[must_use]
    pub fn of(ip: IpAddr) -> Option<Self> {
        match ip {
            IpAddr::V4(v4) if is_local_v4(v4) => None,
            IpAddr::V4(v4) => {
                let [a, b, c, _] = v4.octets();
                Some(Self::V4([a, b, c]))
            }
            IpAddr::V6(v6) if is_local_v6(v6) => None,
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, ..] = v6.octets();
                Some(Self::V6([a, b, c, d, e, f]))
            }
        }
    }

    /// The networks of a contact's addresses.
    pub fn all(addrs: &Addrs) -> impl Iterator<Item = Self> + use<> {
        addrs.iter().filter_map(|addr: SocketAddr| Self::of(addr.ip()))
    }
}

fn is_local_v4(ip: Ipv4Addr) -> bool {
    ip.is_private() || ip.is_loopback() || ip.is_link_local()
}

fn is_local_v6(ip: Ipv6Addr) -> bool {
    ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local()
}

/// How many of something are in each subnet.
#[derive(Clone, Debug, Default)]
pub struct Subnets(BTreeMap<Subnet, usize>);

impl Subnets {
    /// Whether one more with these addresses leaves every subnet at `most` or fewer.
    #[must_use]
    pub fn fits(&self, addrs: &Addrs, most: usize) -> bool {
        Subnet::all(addrs).all(|subnet| self.count(&subnet) < most)
    }

    /// Counts one more.
    pub fn add(&mut self, addrs: &Addrs) {
        Subnet::all(addrs).for_each(|subnet| *self.0.entry(subnet).or_default() += 1);
    }

    /// Counts one less.
    pub fn remove(&mut self, addrs: &Addrs) {
        for subnet in Subnet::all(addrs) {
            if let Some(count) = self.0.get_mut(&subnet) {
                *count -= 1;
                if *count == 0 {
                    self.0.remove(&subnet);
                }
            }
        }
    }

    /// Counts one more if that leaves every subnet at `most` or fewer; whether it did.
    pub fn try_add(&mut self, addrs: &Addrs, most: usize) -> bool {
        let fits = self.fits(addrs, most);
        if fits {
            self.add(addrs);
        }
        fits
    }

    fn count(&self, subnet: &Subnet) -> usize {
        self.0.get(subnet).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addrs(text: &str) -> Addrs {
        Addrs::one(text.parse().unwrap()).unwrap()
    }

    #[test]
    fn a_subnet_is_counted_up_and_down() {
        let mut subnets = Subnets::default();
        assert!(subnets.try_add(&addrs("198.51.100.1:1"), 2));
        assert!(subnets.try_add(&addrs("198.51.100.2:1"), 2));
        assert!(!subnets.try_add(&addrs("198.51.100.3:1"), 2));
        assert!(subnets.try_add(&addrs("198.51.101.3:1"), 2));
        subnets.remove(&addrs("198.51.100.9:1"));
        assert!(subnets.try_add(&addrs("198.51.100.3:1"), 2));
    }

    #[test]
    fn ip6_is_counted_by_its_first_48_bits() {
        let mut subnets = Subnets::default();
        assert!(subnets.try_add(&addrs("[2001:db8:1:2::1]:1"), 1));
        assert!(!subnets.try_add(&addrs("[2001:db8:1:3::1]:1"), 1));
        assert!(subnets.try_add(&addrs("[2001:db8:2:2::1]:1"), 1));
    }

    #[test]
    fn a_lan_is_not_limited() {
        let mut subnets = Subnets::default();
        for local in ["192.168.1.9:1", "10.1.1.1:1", "127.0.0.1:1", "[fe80::1]:1", "[::1]:1"] {
            assert!(subnets.try_add(&addrs(local), 1));
            assert!(subnets.try_add(&addrs(local), 1), "{local}");
        }
    }
}
