//! `up`: a node in the foreground, until a signal or a fault.

use std::path::PathBuf;

use pinhole_node::Messages;

use super::args::Verbosity;
use super::data::Folder;
use super::events::{PatientPrinter, Printed, Printer, is_connected, now_ms};
use super::failure::{Failure, Kind};
use super::output::{End, Output};
use super::run::{self, Running};
use super::settings::Settings;
use super::signals::Signals;

/// Runs a node until it is told to stop.
pub(crate) async fn up(
    folder: &Folder,
    config: Option<PathBuf>,
    flags: Settings,
    verbosity: Verbosity,
    output: Output,
) -> Result<(), End> {
    let mut signals = Signals::new()?;
    let started = tokio::select! {
        started = run::permanent(folder, config, flags) => started?,
        // Nothing was said yet, so there is nothing to take back.
        _ = signals.next() => return Ok(()),
    };
    let mut printer = Printer::start(output);
    printer.print(&ready(&started));
    let ended = follow(started, &mut printer, &mut signals, verbosity).await;
    let reason = match &ended {
        Ok(reason) => reason.clone(),
        Err(failure) => failure.message.clone(),
    };
    signals.unless_again(printer.end(&Printed::Shutdown { t: now_ms(), reason })).await;
    ended.map(drop).map_err(End::Failed)
}

fn ready(running: &Running) -> Printed {
    Printed::Ready {
        t: now_ms(),
        peer: running.node.id(),
        listen: running.node.listen_addrs().to_vec(),
        addrs: running.node.addr().lines().collect(),
    }
}

/// Prints what happens until the end, and says why it came.
async fn follow(
    mut running: Running,
    printer: &mut Printer,
    signals: &mut Signals,
    verbosity: Verbosity,
) -> Result<String, Failure> {
    let pings = verbosity >= Verbosity::Verbose;
    let messages = running.node.messages();
    let reader = tokio::spawn(print_messages(messages, printer.patient()));
    let outcome = loop {
        tokio::select! {
            event = running.events.recv() => match event {
                Some(event) => {
                    if is_connected(&event) && let Err(failure) = running.desk.store_newcomers().await {
                        running.node.report_problem(failure.message, "look after the disk");
                    }
                    if let Some(printed) = Printed::from_event(event, pings) {
                        printer.print(&printed);
                    }
                }
                None => break None,
            },
            stop = signals.next() => break Some(stop),
            control = &mut running.control => {
                let why = control.err().map_or_else(|| "it ended".to_owned(), |e| e.to_string());
                let _ = running.close().await;
                return Err(Failure::new(
                    Kind::NotRunning,
                    format!("the control socket failed ({why}); restart the node, and please report this"),
                ));
            }
        }
    };
    let closed = signals.unless_again(running.close()).await;
    reader.abort();
    match outcome {
        Some(stop) => closed.map(|()| stop.name().to_owned()),
        None => closed.map(|()| "the node was closed".to_owned()),
    }
}

async fn print_messages(messages: Option<Messages>, printer: PatientPrinter) {
    let Some(mut messages) = messages else { return };
    while let Some(message) = messages.recv().await {
        printer.print(&Printed::from_message(message)).await;
    }
}
