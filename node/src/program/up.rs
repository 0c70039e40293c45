//! `up`: a node in the foreground, until a signal or a fault.

use std::path::PathBuf;

use pinhole_node::{Event, Messages};
use tokio::sync::mpsc;

use super::args::Verbosity;
use super::data::Folder;
use super::events::{Lines, Printer};
use super::failure::{Failure, Kind};
use super::output::{End, Output};
use super::run::{self, Running};
use super::settings::Settings;
use super::signals::Signals;
use super::task;

/// Runs a node until it is told to stop.
pub(crate) async fn up(
    folder: &Folder,
    config: Option<PathBuf>,
    flags: Settings,
    verbosity: Verbosity,
    output: Output,
) -> Result<(), End> {
    let mut signals = Signals::new()?;
    let running = tokio::select! {
        running = run::permanent(folder, config, flags) => running?,
        // Nothing was said yet, so there is nothing to take back.
        _ = signals.next() => return Ok(()),
    };
    let lines = Lines::new(output, verbosity >= Verbosity::Verbose);
    let mut printer = Printer::start(lines);
    printer.print(lines.ready(&running.node));
    let ended = follow(running, &mut printer, &mut signals).await;
    let last = match &ended {
        Ok(reason) => lines.shutdown(reason),
        Err(failure) => lines.shutdown(&failure.message),
    };
    signals.unless_again(printer.end(last)).await;
    ended.map(drop).map_err(End::Failed)
}

/// Prints what happens until the end, and says why it came.
async fn follow(
    mut running: Running,
    printer: &mut Printer,
    signals: &mut Signals,
) -> Result<&'static str, Failure> {
    let reader =
        task::spawn(print_messages(running.node.messages(), printer.lines, printer.queue()));
    let reason = loop {
        tokio::select! {
            event = running.events.recv() => match event {
                Some(event) => happened(&event, &running, printer).await,
                None => break "the node was closed",
            },
            stop = signals.next() => break stop.name(),
            control = &mut running.control => {
                let why = control.err().map_or_else(|| "it ended".to_owned(), |e| e.to_string());
                // The first fault is the one to tell.
                let _ = running.close().await;
                return Err(Failure::new(
                    Kind::NotRunning,
                    format!(
                        "the control socket failed ({why}); restart the node, and please report this"
                    ),
                ));
            }
        }
    };
    let closed = signals.unless_again(running.close()).await;
    reader.abort();
    closed.map(|()| reason)
}

async fn happened(event: &Event, running: &Running, printer: &mut Printer) {
    // What a reader has heard of is stored.
    running.desk.handle_event(event).await;
    if let Some(line) = printer.lines.event(event) {
        printer.print(line);
    }
}

/// While nobody reads them, messages wait, and so do their senders: what was acknowledged is not
/// lost to a slow reader.
async fn print_messages(messages: Option<Messages>, lines: Lines, queue: mpsc::Sender<String>) {
    let Some(mut messages) = messages else { return };
    while let Some(message) = messages.recv().await {
        // A reader that is gone wants nothing.
        let _ = queue.send(lines.message(&message)).await;
    }
}
