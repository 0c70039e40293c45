//! Congestion control (core): quinn's own Cubic, with a look at what is in flight.
//!
//! *Purpose*: know since when the peer owes us an acknowledgement, and the newest sample of the
//! round-trip time.
//!
//! *Inputs*: what quinn tells a congestion controller, and the bytes that were sealed in packets
//! that have to be acknowledged (a controller is not told which those are).
//!
//! *Outputs*: the window, which is Cubic's, and `waiting` and `rtt` of the connection's `Pulse`.
//!
//! *Not handled*: packets of the handshake, which has a time limit of its own; a change of path
//! beneath a dialed connection, which quinn does not see: it would start Cubic again here.

#[cfg(test)]
mod tests;

use std::{
    any::Any,
    sync::Arc,
    time::{Duration, Instant},
};

use quinn_proto::{
    RttEstimator,
    congestion::{Controller, ControllerFactory, ControllerMetrics, Cubic, CubicConfig},
};

use crate::pulse::Pulse;

/// Makes the controllers of one connection: a new one for each path that it migrates to.
pub(crate) struct Controllers(pub(crate) Arc<Pulse>);

impl ControllerFactory for Controllers {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Watched::new(self.0.clone(), now, current_mtu))
    }
}

/// Cubic, watched.
#[derive(Clone)]
struct Watched {
    cubic: Cubic,
    flight: Flight,
    mtu: u16,
    pulse: Arc<Pulse>,
}

impl Watched {
    fn new(pulse: Arc<Pulse>, now: Instant, mtu: u16) -> Self {
        let cubic = Cubic::new(Arc::new(CubicConfig::default()), now, mtu);
        pulse.set_mtu(mtu);
        Self { cubic, flight: Flight::default(), mtu, pulse }
    }

    fn acked(&mut self, now: Instant, sent: Instant, bytes: u64, min_rtt: Duration) {
        if let Some(sample) = self.flight.handle_ack(now, sent, bytes) {
            self.pulse.set_rtt(without_delay(sample, self.pulse.ack_delay(), min_rtt));
        }
    }
}

impl Controller for Watched {
    fn on_sent(&mut self, now: Instant, bytes: u64, last_packet_number: u64) {
        self.cubic.on_sent(now, bytes, last_packet_number);
        let sealed = self.pulse.take_sealed();
        if sealed > 0 {
            self.flight.handle_sent(now, sealed);
            self.pulse.set_waiting(self.flight.waiting);
            self.pulse.set_mtu(self.mtu);
        }
    }

    fn on_ack(
        &mut self,
        now: Instant,
        sent: Instant,
        bytes: u64,
        app_limited: bool,
        rtt: &RttEstimator,
    ) {
        self.cubic.on_ack(now, sent, bytes, app_limited, rtt);
        self.acked(now, sent, bytes, rtt.min());
    }

    fn on_end_acks(
        &mut self,
        now: Instant,
        in_flight: u64,
        app_limited: bool,
        largest_packet_num_acked: Option<u64>,
    ) {
        self.cubic.on_end_acks(now, in_flight, app_limited, largest_packet_num_acked);
        self.flight.handle_acks_end(now, in_flight);
        self.pulse.set_waiting(self.flight.waiting);
    }

    fn on_congestion_event(
        &mut self,
        now: Instant,
        sent: Instant,
        is_persistent_congestion: bool,
        lost_bytes: u64,
    ) {
        self.cubic.on_congestion_event(now, sent, is_persistent_congestion, lost_bytes);
        self.flight.handle_loss(lost_bytes);
        self.pulse.set_waiting(self.flight.waiting);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.cubic.on_mtu_update(new_mtu);
        self.flight.handle_probe_acked(new_mtu);
        self.mtu = new_mtu;
        self.pulse.set_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        self.cubic.window()
    }

    fn metrics(&self) -> ControllerMetrics {
        self.cubic.metrics()
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.cubic.initial_window()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// What is in flight on one path, without probes for a larger MTU.
#[derive(Debug, Clone, Default)]
struct Flight {
    bytes: u64,
    waiting: Option<Instant>,
    /// When the newest packet was sent that was acknowledged.
    newest: Option<Instant>,
}

impl Flight {
    fn handle_sent(&mut self, now: Instant, bytes: u64) {
        self.bytes = self.bytes.saturating_add(bytes);
        self.waiting.get_or_insert(now);
    }

    /// One packet was acknowledged; the round-trip time that it shows, if it is the newest.
    fn handle_ack(&mut self, now: Instant, sent: Instant, bytes: u64) -> Option<Duration> {
        self.bytes = self.bytes.saturating_sub(bytes);
        let newest = self.newest.is_none_or(|newest| sent >= newest);
        newest.then(|| {
            self.newest = Some(sent);
            now.saturating_duration_since(sent)
        })
    }

    /// All that one acknowledgement names was handled, and quinn counts `in_flight` bytes, probes
    /// included. What it no longer counts (an old path, a dropped space) is not waited for.
    fn handle_acks_end(&mut self, now: Instant, in_flight: u64) {
        self.bytes = self.bytes.min(in_flight);
        self.waiting = (self.bytes > 0).then_some(now);
    }

    /// Bytes are lost: what of them is sent again counts again.
    fn handle_loss(&mut self, bytes: u64) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.waiting = self.waiting.filter(|_| self.bytes > 0);
    }

    /// A probe of this size was acknowledged, and `handle_ack` will take away what it never added.
    fn handle_probe_acked(&mut self, size: u16) {
        self.bytes = self.bytes.saturating_add(size.into());
    }
}

/// A sample without the peer's own delay, as RFC 9002 §5.3 has it: never below the smallest seen.
fn without_delay(sample: Duration, ack_delay: Duration, min: Duration) -> Duration {
    if sample >= min + ack_delay { sample - ack_delay } else { sample }
}
