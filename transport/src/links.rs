//! The real UDP sockets (shell): one for each address to listen on.

use std::{
    io::{self, IoSliceMut},
    net::{SocketAddr, UdpSocket},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use quinn::{
    AsyncUdpSocket, Runtime, TokioRuntime, UdpPoller,
    udp::{RecvMeta, Transmit},
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::BindError;

/// Sockets of one endpoint.
pub(crate) const MAX_LINKS: usize = 8;
/// What we ask the kernel to buffer for us, in bytes; it may give less.
const RECEIVE_BUFFER: usize = 1 << 20;

/// One bound socket, with GSO and GRO where the system has them.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    socket: Arc<dyn AsyncUdpSocket>,
    addr: SocketAddr,
}

/// All sockets of an endpoint.
#[derive(Debug)]
pub(crate) struct Links {
    links: Vec<Link>,
    addrs: Vec<SocketAddr>,
}

impl Links {
    pub(crate) fn bind(listen: &[SocketAddr]) -> Result<Self, BindError> {
        if listen.is_empty() || listen.len() > MAX_LINKS {
            return Err(BindError::Count { given: listen.len(), max: MAX_LINKS });
        }
        let links = listen.iter().map(|addr| Link::bind(*addr)).collect::<Result<Vec<_>, _>>()?;
        let addrs = links.iter().map(|link| link.addr).collect();
        Ok(Self { links, addrs })
    }

    pub(crate) fn addrs(&self) -> &[SocketAddr] {
        &self.addrs
    }

    pub(crate) fn len(&self) -> usize {
        self.links.len()
    }

    /// Sends on socket `preferred` if it can reach the destination, otherwise on the first that
    /// can.
    pub(crate) fn try_send(
        &self,
        preferred: Option<usize>,
        transmit: &Transmit<'_>,
    ) -> io::Result<()> {
        let preferred = preferred.and_then(|index| self.links.get(index));
        let reaches = |link: &&Link| link.addr.is_ipv4() == transmit.destination.is_ipv4();
        match preferred.filter(reaches).or_else(|| self.links.iter().find(reaches)) {
            Some(link) => link.socket.try_send(transmit),
            // As if the packet were lost: another candidate may be of the right family.
            None => Ok(()),
        }
    }

    pub(crate) fn poll_recv(
        &self,
        index: usize,
        cx: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.links[index].socket.poll_recv(cx, buffers, meta)
    }

    pub(crate) fn create_io_poller(&self) -> Pin<Box<dyn UdpPoller>> {
        let poller = |link: &Link| link.socket.clone().create_io_poller();
        Box::pin(AllWritable { waiting: self.links.iter().map(poller).collect(), ready: 0 })
    }

    pub(crate) fn max_transmit_segments(&self) -> usize {
        let segments = self.links.iter().map(|link| link.socket.max_transmit_segments());
        segments.min().unwrap_or(1)
    }

    pub(crate) fn max_receive_segments(&self) -> usize {
        let segments = self.links.iter().map(|link| link.socket.max_receive_segments());
        segments.max().unwrap_or(1)
    }

    pub(crate) fn may_fragment(&self) -> bool {
        self.links.iter().any(|link| link.socket.may_fragment())
    }
}

impl Link {
    fn bind(addr: SocketAddr) -> Result<Self, BindError> {
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { addr },
            _ => BindError::Failed { addr, source },
        };
        let socket = open(addr).map_err(failed)?;
        let socket = TokioRuntime.wrap_udp_socket(socket).map_err(failed)?;
        let addr = socket.local_addr().map_err(failed)?;
        Ok(Self { socket, addr })
    }
}

fn open(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?; // IPv4 has a socket of its own
    }
    // A smaller buffer than asked for is no reason to fail.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Ready when every socket is: a send that would block does not say which of them was meant.
#[derive(Debug)]
struct AllWritable {
    waiting: Vec<Pin<Box<dyn UdpPoller>>>,
    /// Sockets at the front that were ready in this round.
    ready: usize,
}

impl UdpPoller for AllWritable {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.ready < self.waiting.len() {
            let index = self.ready;
            match self.waiting[index].as_mut().poll_writable(cx) {
                Poll::Ready(Ok(())) => self.ready += 1,
                other => return other,
            }
        }
        self.ready = 0;
        Poll::Ready(Ok(()))
    }
}
