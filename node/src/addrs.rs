//! At which addresses this machine can be dialed (shell).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use pinhole_proto::Candidate;

/// The bound addresses as candidates. For a socket bound to all interfaces, that is the address
/// from which this machine would reach the internet, or else the loopback address.
pub(crate) fn dialable(bound: &[SocketAddr]) -> Vec<Candidate> {
    let mut candidates = Vec::new();
    for addr in bound {
        let ip = if addr.ip().is_unspecified() { source_ip(addr.is_ipv4()) } else { addr.ip() };
        if let Ok(candidate) = Candidate::direct(SocketAddr::new(ip, addr.port()))
            && !candidates.contains(&candidate)
        {
            candidates.push(candidate);
        }
    }
    // Loopback is of use only to those on this machine; they have the other addresses as well.
    let (far, near): (Vec<_>, Vec<_>) = candidates.into_iter().partition(|c| !is_loopback(c));
    if far.is_empty() { near } else { far }
}

/// The families of which a socket can be bound here, as "any address" with `port`.
pub(crate) fn any(port: u16) -> Vec<SocketAddr> {
    let all = [IpAddr::V6(Ipv6Addr::UNSPECIFIED), IpAddr::V4(Ipv4Addr::UNSPECIFIED)];
    let exists = |ip: &IpAddr| match UdpSocket::bind((*ip, 0)) {
        Ok(_) => true,
        Err(error) => {
            tracing::info!(%ip, %error, "not listening on this family");
            false
        }
    };
    all.into_iter().filter(exists).map(|ip| SocketAddr::new(ip, port)).collect()
}

/// Asks the system's routing table by connecting a UDP socket to an address that is reserved for
/// documentation (RFC 5737, RFC 3849); that sends nothing.
fn source_ip(v4: bool) -> IpAddr {
    let (any, far): (IpAddr, IpAddr) = if v4 {
        (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into())
    } else {
        let far = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
        (Ipv6Addr::UNSPECIFIED.into(), far.into())
    };
    let source = UdpSocket::bind((any, 0)).and_then(|socket| {
        socket.connect((far, 9))?;
        socket.local_addr()
    });
    let loopback = if v4 { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    source.map(|addr| addr.ip()).ok().filter(|ip| !ip.is_unspecified()).unwrap_or(loopback)
}

fn is_loopback(candidate: &Candidate) -> bool {
    candidate.socket_addr().is_some_and(|addr| addr.ip().is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_was_named_stays() {
        let addr = SocketAddr::from(([127, 0, 0, 1], 4433));
        assert_eq!(dialable(&[addr]), [Candidate::direct(addr).unwrap()]);
    }

    #[test]
    fn any_address_becomes_one_that_can_be_dialed() {
        let any = SocketAddr::from(([0, 0, 0, 0], 4433));
        let candidates = dialable(&[any, any]);
        assert_eq!(candidates.len(), 1);
        let addr = candidates[0].socket_addr().unwrap();
        assert!(!addr.ip().is_unspecified());
        assert_eq!(addr.port(), 4433);
    }

    #[test]
    fn loopback_is_left_out_when_there_is_more() {
        let near = SocketAddr::from(([127, 0, 0, 1], 1));
        let far = SocketAddr::from(([192, 0, 2, 7], 1));
        assert_eq!(dialable(&[near, far]), [Candidate::direct(far).unwrap()]);
    }

    #[test]
    fn there_is_a_family_to_listen_on() {
        assert!(any(7).iter().all(|addr| addr.port() == 7 && addr.ip().is_unspecified()));
        assert!(!any(7).is_empty());
    }
}
