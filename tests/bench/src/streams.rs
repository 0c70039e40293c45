//! Bulk transfers and small requests over one connection between two processes.

use anyhow::Result;

use crate::Run;
use crate::forwarder::Forwarder;
use crate::latency::ROUND_TRIP;
use crate::process::{Process, seconds};
use crate::report::{Bound, Rounds, Row, Side, median};
use crate::stack::Target;

const MIB: u64 = 1 << 20;

/// One stream of 1 GiB.
pub fn bulk(run: &Run) -> Result<Vec<Row>> {
    let servers = Servers::start(run)?;
    let bytes = 1024 * MIB;
    let rounds = Rounds::measure(run.rounds, |side| {
        rate(bytes, seconds(run.name(side), "upload", &[servers.of(side), &bytes.to_string()]))
    })?;
    Ok(vec![Row {
        name: "bulk",
        what: "one stream, 1 GiB, loopback".to_owned(),
        bound: Bound::AtLeast(0.97),
        detail: rounds.detail("MB/s", 1e-6),
        ..ratio(&rounds)
    }])
}

/// One stream over a long path.
pub fn bulk_far(run: &Run) -> Result<Vec<Row>> {
    let servers = Servers::start(run)?;
    let bytes = if run.short { 32 * MIB } else { 128 * MIB };
    let rounds = Rounds::measure(run.rounds, |side| {
        let target: Target = servers.of(side).parse()?;
        let forwarder = Forwarder::start(target.addr, ROUND_TRIP)?;
        let target = target.via(forwarder.addr).to_string();
        rate(bytes, seconds(run.name(side), "upload", &[&target, &bytes.to_string()]))
    })?;
    Ok(vec![Row {
        name: "bulk-far",
        what: format!("one stream, {} MiB, 100 ms path", bytes / MIB),
        bound: Bound::AtLeast(0.95),
        detail: rounds.detail("MB/s", 1e-6),
        ..ratio(&rounds)
    }])
}

fn rate(bytes: u64, time: Result<f64>) -> Result<f64> {
    Ok(bytes as f64 / time?)
}

/// Requests one after the other.
pub fn small_1(run: &Run) -> Result<Vec<Row>> {
    let count = if run.short { 20_000 } else { 60_000 };
    Ok(vec![small(run, "small-1", "small requests, 1 at a time", 1, count)?])
}

/// 64 requests under way at any time.
pub fn small_64(run: &Run) -> Result<Vec<Row>> {
    let count = if run.short { 64_000 } else { 192_000 };
    Ok(vec![small(run, "small-64", "small requests, 64 at a time", 64, count)?])
}

fn small(run: &Run, name: &'static str, what: &str, at_once: u64, count: u64) -> Result<Row> {
    let servers = Servers::start(run)?;
    let (at_once, total) = (at_once.to_string(), count.to_string());
    let rounds = Rounds::measure(run.rounds, |side| {
        let args = [servers.of(side), at_once.as_str(), total.as_str()];
        rate(count, seconds(run.name(side), "small", &args))
    })?;
    Ok(Row {
        name,
        what: what.to_owned(),
        bound: Bound::AtLeast(0.95),
        detail: rounds.detail("requests/s", 1.0),
        ..ratio(&rounds)
    })
}

fn ratio(rounds: &Rounds) -> Row {
    Row {
        name: "",
        what: String::new(),
        value: median(&[rounds.ratio()]),
        unit: "× raw",
        bound: Bound::None,
        portable: true,
        detail: String::new(),
    }
}

/// One server of each stack, for all rounds of a row.
struct Servers {
    raw: String,
    pinhole: String,
    _processes: [Process; 2],
}

impl Servers {
    fn start(run: &Run) -> Result<Servers> {
        let mut raw = Process::role(run.name(Side::Raw), "serve", &[])?;
        let mut pinhole = Process::role(run.name(Side::Pinhole), "serve", &[])?;
        let targets = (raw.line()?, pinhole.line()?);
        Ok(Servers { raw: targets.0, pinhole: targets.1, _processes: [raw, pinhole] })
    }

    fn of(&self, side: Side) -> &str {
        match side {
            Side::Raw => &self.raw,
            Side::Pinhole => &self.pinhole,
        }
    }
}
