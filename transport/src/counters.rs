//! What an endpoint counted since it was bound.

use crate::GateCounters;

/// Counters of an [`Endpoint`](crate::Endpoint); they only grow, except for the gauges.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// UDP datagrams sent.
    pub datagrams_sent: u64,
    /// Bytes of UDP payload sent.
    pub bytes_sent: u64,
    /// UDP datagrams received, including those that were dropped.
    pub datagrams_received: u64,
    /// Bytes of UDP payload received, including those that were dropped.
    pub bytes_received: u64,
    /// Connections that we began to dial.
    pub dials: u64,
    /// Handshakes completed, both directions.
    pub handshakes: u64,
    /// What the gate let in and dropped.
    pub gate: GateCounters,
    /// Gauge: inbound connections that are opening now.
    pub half_open: u64,
    /// Gauge: connections in both directions, opening ones included.
    pub connections: u64,
}
