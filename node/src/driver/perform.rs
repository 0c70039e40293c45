//! What the table of peers asks for, and what it tells (shell).

use std::num::NonZeroU8;
use std::time::Instant;

use pinhole_proto::{CloseCode, Datagram, PeerId};

use super::{Driver, Ended};
use crate::dial;
use crate::error::ConnectError;
use crate::event::{Event, Path};
use crate::peers::{CloseReason, LinkId, Origin, PeerCommand, PeerEvent, Testimony};
use crate::protocols::{drain, reach};

impl Driver {
    /// Does what the table asks for and passes its events on.
    pub(super) fn perform(&mut self) {
        while let Some(command) = self.peers.poll_transmit() {
            self.perform_one(command);
        }
        self.early = None;
        while let Some(event) = self.peers.poll_event() {
            self.emit(event);
        }
    }

    fn perform_one(&mut self, command: PeerCommand) {
        match command {
            PeerCommand::Dial { peer, dial, candidates } => {
                let early = self.early.take();
                let endpoint = self.endpoint.clone();
                let limit = self.inner.limits.dial_timeout;
                let task = self.tasks.spawn(async move {
                    let result = dial::dial(endpoint, limit, peer, candidates, early).await;
                    Ended::Dial { peer, dial, result }
                });
                self.dials.insert(dial, task);
            }
            PeerCommand::CancelDial { peer, dial } => {
                if let Some(task) = self.dials.remove(&dial) {
                    task.abort();
                }
                self.answer(peer, &Err(ConnectError::Cancelled));
            }
            PeerCommand::Keep { peer, link } => self.keep(peer, link),
            PeerCommand::WatchUse(id) => {
                if let Some(link) = self.links.get(&id) {
                    link.set_draining(true);
                    let (active, last_use) = link.usage();
                    self.peers.handle_use(Instant::now(), id, active, last_use);
                }
            }
            PeerCommand::SayDrained(id) => {
                if let Some(link) = self.links.get(&id).cloned() {
                    self.tasks.spawn(async move {
                        drain::say(link).await;
                        Ended::Done
                    });
                }
            }
            PeerCommand::Close { link, reason } => {
                if let Some(link) = self.links.get(&link) {
                    link.connection.close(close_code(reason), "");
                }
            }
            PeerCommand::Heartbeat { link, seconds } => {
                let seconds = NonZeroU8::new(seconds).unwrap_or(NonZeroU8::MIN);
                self.send_datagram(link, Datagram::Heartbeat { seconds });
            }
            PeerCommand::SayRebound(link) => self.send_datagram(link, Datagram::Rebound),
            PeerCommand::AskWitness { about, witness, link } => self.ask(about, witness, link),
            PeerCommand::Answer { question, reached } => {
                if let Some(reply) = self.questions.remove(&question) {
                    // An error says that the asker has gone.
                    let _ = reply.send(reached);
                }
            }
        }
    }

    fn keep(&mut self, peer: PeerId, link: Option<LinkId>) {
        let link = link.and_then(|id| self.links.get(&id).cloned());
        if let Some(link) = &link {
            link.set_draining(false);
            self.answer(peer, &Ok(link.clone()));
        }
        self.inner.set_kept(peer, link);
    }

    fn send_datagram(&mut self, link: LinkId, datagram: Datagram) {
        let Some(link) = self.links.get(&link) else { return };
        match link.connection.send_datagram(datagram.encode().into()) {
            Ok(()) => {
                let is_heartbeat = matches!(datagram, Datagram::Heartbeat { .. });
                self.tally.sums.heartbeats += u64::from(is_heartbeat);
            }
            Err(error) => {
                tracing::debug!(peer = %link.connection.peer().short(), %error, "no heartbeat");
            }
        }
    }

    fn ask(&mut self, about: PeerId, witness: PeerId, link: LinkId) {
        let link = self.links.get(&link).cloned();
        self.tasks.spawn(async move {
            let testimony = match link {
                Some(link) => reach::ask(link, about).await,
                None => Testimony::Elsewhere,
            };
            Ended::Testimony { about, witness, testimony }
        });
    }

    fn emit(&mut self, event: PeerEvent) {
        let (peer, state, was, reason, reached_by) = match event {
            PeerEvent::State { peer, state, was, reason, reached_by } => {
                (peer, state, was, reason, reached_by)
            }
            PeerEvent::Heartbeat { peer, rtt } => {
                return self.inner.emit(Event::Ping { peer, rtt });
            }
        };
        let is_known = |peer: &PeerId| self.peers.record(peer).is_some();
        self.tally.handle_state(peer, state, reason, is_known);
        let kept = self.inner.kept(&peer);
        let addr = kept.as_ref().map(|link| link.connection.remote_addr());
        let rtt = kept.as_ref().map(|link| link.connection.rtt());
        let origin = self.peers.record(&peer).map_or(Origin::Inbound, |record| record.origin);
        let heard_by: Vec<_> = reached_by.iter().map(PeerId::short).collect();
        let heard_by = (!heard_by.is_empty()).then(|| heard_by.join(", "));
        let at = addr.map(tracing::field::display);
        tracing::info!(peer = %peer.short(), %state, %was, %reason, addr = at, heard_by, "peer");
        let path = addr.map(|_| Path::Direct);
        self.inner.emit(Event::Peer {
            peer,
            state,
            was,
            reason,
            reached_by,
            path,
            addr,
            rtt,
            origin,
        });
    }
}

fn close_code(reason: CloseReason) -> CloseCode {
    match reason {
        CloseReason::Duplicate => CloseCode::Duplicate,
        CloseReason::Idle => CloseCode::Idle,
        CloseReason::Disconnect => CloseCode::Disconnect,
        CloseReason::Denied => CloseCode::Denied,
        CloseReason::Full => CloseCode::Busy,
        CloseReason::Lost => CloseCode::Lost,
    }
}
