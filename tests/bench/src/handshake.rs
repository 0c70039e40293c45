//! CPU time of a full handshake, both sides of it in one process.

use anyhow::Result;

use crate::Run;
use crate::process::seconds;
use crate::report::{Bound, Rounds, Row};

/// The same two peers again and again, and peers that meet for the first time.
pub fn rows(run: &Run) -> Result<Vec<Row>> {
    Ok(vec![
        row(run, "handshake-same", "CPU of a handshake, both sides, same pair", "same")?,
        row(run, "handshake-fresh", "CPU of a handshake, both sides, fresh pairs", "fresh")?,
    ])
}

fn row(run: &Run, name: &'static str, what: &str, pairs: &str) -> Result<Row> {
    let count = match (pairs, run.short) {
        ("fresh", _) => "300",
        (_, true) => "1000",
        (_, false) => "3000",
    };
    let rounds =
        Rounds::measure(run.rounds, |side| seconds(run.name(side), "handshakes", &[count, pairs]))?;
    Ok(Row {
        name,
        what: what.to_owned(),
        value: rounds.ratio(),
        unit: "× raw",
        bound: if pairs == "same" { Bound::AtMost(1.3) } else { Bound::None },
        portable: true,
        detail: rounds.detail("µs", 1e6),
    })
}
