//! pinhole measured against raw quinn + rustls. `docs/bench.md` explains the rows and the rules.

mod child;
mod flood;
mod footprint;
mod forwarder;
mod handshake;
mod initial;
mod latency;
mod liveness;
mod node;
mod peers;
mod pin;
mod process;
mod raw;
mod report;
mod stack;
mod streams;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use report::{Row, Side};
use stack::Stack;

const USAGE: &str = "\
bench [--short] [--rounds N] [--json FILE] [--check FILE] [--null] [ROW…]
  --short       fewer bytes and requests, for CI
  --rounds N    rounds of every row that compares (5 with --short, else 9)
  --json FILE   also write the results for a machine
  --check FILE  fail when a ratio is more than 15 % worse than in that file
  --null        raw quinn against itself: what the noise of this machine is worth
  ROW           only these groups:";

/// How this run was asked for.
pub struct Run {
    pub short: bool,
    pub rounds: usize,
    null: bool,
}

impl Run {
    /// The stack that a child process runs on a side.
    pub fn name(&self, side: Side) -> &'static str {
        match side {
            Side::Pinhole if !self.null => pin::Pin::NAME,
            _ => raw::Raw::NAME,
        }
    }
}

type Group = (&'static str, fn(&Run) -> Result<Vec<Row>>);

const GROUPS: [Group; 17] = [
    ("connect", latency::connect),
    ("first-idempotent", latency::first_idempotent),
    ("first-any", latency::first_any),
    ("bulk", streams::bulk),
    ("bulk-far", streams::bulk_far),
    ("small-1", streams::small_1),
    ("small-64", streams::small_64),
    ("handshake", handshake::rows),
    ("size", footprint::size),
    ("crates", footprint::crates),
    ("idle", footprint::idle),
    ("connection", footprint::connections),
    ("flood", flood::rows),
    ("mesh", peers::mesh),
    ("peers", peers::hundred),
    ("heartbeat", liveness::heartbeat),
    ("detection", liveness::detection),
];

fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    if let [child, stack, role, rest @ ..] = args.as_slice()
        && child == "child"
    {
        return run_child(stack, role, rest).map(|()| ExitCode::SUCCESS);
    }
    let options = Options::parse(args)?;
    let (rows, failed) = measure(&options);
    finish(&options, &rows, failed)
}

fn run_child(stack: &str, role: &str, args: &[String]) -> Result<()> {
    match stack {
        raw::Raw::NAME => child::run::<raw::Raw>(role, args),
        pin::Pin::NAME => child::run::<pin::Pin>(role, args),
        peers::HOLD => peers::hold(role, args),
        _ => bail!("no such stack: {stack}"),
    }
}

struct Options {
    run: Run,
    json: Option<PathBuf>,
    check: Option<PathBuf>,
    names: Vec<String>,
}

impl Options {
    fn parse(args: Vec<String>) -> Result<Options> {
        let run = Run { short: false, rounds: 0, null: false };
        let mut options = Options { run, json: None, check: None, names: Vec::new() };
        let mut args = args.into_iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().with_context(|| format!("{arg} needs a value"));
            match arg.as_str() {
                "--short" => options.run.short = true,
                "--null" => options.run.null = true,
                "--rounds" => options.run.rounds = value()?.parse()?,
                "--json" => options.json = Some(value()?.into()),
                "--check" => options.check = Some(value()?.into()),
                name if GROUPS.iter().any(|group| group.0 == name) => options.names.push(arg),
                _ => bail!("{USAGE} {}", GROUPS.map(|group| group.0).join(" ")),
            }
        }
        if options.run.rounds == 0 {
            options.run.rounds = if options.run.short { 5 } else { 9 };
        }
        Ok(options)
    }
}

/// Rows that could be measured, and how many groups could not.
fn measure(options: &Options) -> (Vec<Row>, usize) {
    let wanted = |name| options.names.is_empty() || options.names.iter().any(|n| n == name);
    let mut rows = Vec::new();
    let mut failed = 0;
    report::heading();
    for (name, group) in GROUPS.iter().filter(|(name, _)| wanted(name)) {
        match measure_group(options, *group) {
            Ok(measured) => rows.extend(measured),
            Err(error) => {
                println!("{name}: not measured: {error:#}");
                failed += 1;
            }
        }
    }
    (rows, failed)
}

/// Measures one group. What looks worse than recorded is measured once more, and the better value
/// counts: a moment in which the machine did something else must not fail a change.
fn measure_group(options: &Options, group: fn(&Run) -> Result<Vec<Row>>) -> Result<Vec<Row>> {
    let first = group(&options.run)?;
    first.iter().for_each(report::print);
    let Some(recorded) = &options.check else { return Ok(first) };
    if report::worse_than(&first, recorded)?.is_empty() {
        return Ok(first);
    }
    println!("worse than recorded; once more:");
    let second = group(&options.run)?;
    second.iter().for_each(report::print);
    let better =
        |(first, second): (Row, Row)| if first.is_worse_than(&second) { second } else { first };
    Ok(first.into_iter().zip(second).map(better).collect())
}

fn finish(options: &Options, rows: &[Row], failed: usize) -> Result<ExitCode> {
    if let Some(path) = &options.json {
        report::write(rows, path)?;
    }
    let missed = rows.iter().filter(|row| row.holds() == Some(false)).count();
    println!("\n{} rows, {missed} missed their target; {failed} not measured", rows.len());
    let worse = match &options.check {
        Some(recorded) => report::worse_than(rows, recorded)?,
        None => Vec::new(),
    };
    worse.iter().for_each(|complaint| println!("worse than recorded: {complaint}"));
    Ok(if worse.is_empty() && failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
