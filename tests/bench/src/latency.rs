//! How many round trips it takes to know each other, and to get the first reply.

use std::time::Duration;

use anyhow::Result;

use crate::forwarder::{Forwarder, own_round_trip};
use crate::process::{Process, seconds};
use crate::report::{Bound, Rounds, Row, median};
use crate::stack::Target;
use crate::{Run, report};

/// The path's round trip in the rows about latency.
pub const ROUND_TRIP: Duration = Duration::from_millis(100);

/// Dial to mutual authentication.
pub fn connect(run: &Run) -> Result<Vec<Row>> {
    let what = "connect, mutual authentication, 100 ms path";
    Ok(vec![row(run, "connect", what, 1.03, "connect", "")?])
}

/// Dial to the reply of a request that may be repeated.
pub fn first_idempotent(run: &Run) -> Result<Vec<Row>> {
    let what = "request on first contact, idempotent, 100 ms path";
    Ok(vec![row(run, "first-idempotent", what, 1.03, "first", "idempotent")?])
}

/// Dial to the reply of any request.
pub fn first_any(run: &Run) -> Result<Vec<Row>> {
    let what = "request on first contact, any, 100 ms path";
    Ok(vec![row(run, "first-any", what, 2.03, "first", "any")?])
}

fn row(
    run: &Run,
    name: &'static str,
    what: &str,
    most: f64,
    role: &str,
    kind: &str,
) -> Result<Row> {
    let rounds = Rounds::measure(run.rounds, |side| strangers(run.name(side), role, kind))?;
    let trips = median(&rounds.pinhole) / ROUND_TRIP.as_secs_f64();
    let path = own_round_trip(ROUND_TRIP)? * 1e3;
    Ok(report::Row {
        name,
        what: what.to_owned(),
        value: trips,
        unit: "RTT",
        bound: Bound::AtMost(most),
        portable: true,
        detail: format!("{}; path alone {path:.2} ms", rounds.detail("ms", 1e3)),
    })
}

/// Two processes that never met, with the long path between them.
fn strangers(stack: &str, role: &str, kind: &str) -> Result<f64> {
    let mut server = Process::role(stack, "serve", &[])?;
    let target: Target = server.line()?.parse()?;
    let forwarder = Forwarder::start(target.addr, ROUND_TRIP)?;
    seconds(stack, role, &[&target.via(forwarder.addr).to_string(), kind])
}
