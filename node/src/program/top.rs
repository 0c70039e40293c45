//! `top`: the running node and its peers, live in the terminal (shell).
//!
//! What is on the screen is a plain function of what was read and of the screen's size ([`view`]); the
//! keys and readings that change it go to [`Top`]. Here are the terminal and the control socket.

mod history;
mod keys;
mod reading;
mod screen;
mod terminal;
mod view;

use std::io::{IsTerminal, Read};
use std::pin::Pin;
use std::time::{Duration, Instant};

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::MissedTickBehavior;

use super::data::Folder;
use super::failure::{Failure, Kind};
use super::output::{End, Output};
use super::session::{Asked, Session};
use super::signals::Signals;
use super::wire::Request;
use reading::Reading;
use screen::{Next, Top};
use terminal::Terminal;

/// How often the node is asked, and the screen drawn.
const BEAT: Duration = Duration::from_secs(1);
/// Pieces of input that may wait.
const KEY_QUEUE: usize = 16;

type Asking = Pin<Box<dyn Future<Output = Result<Reading, End>>>>;

/// Shows the node of a folder until a person has seen enough.
pub(crate) async fn top(folder: Folder, output: Output) -> Result<(), End> {
    check(&output)?;
    let mut signals = Signals::new()?;
    let mut resized = signal(SignalKind::window_change()).map_err(|error| {
        Failure::new(Kind::Denied, format!("signals cannot be received: {error}"))
    })?;
    // Before the screen is touched: most likely no node runs.
    let first = tokio::select! {
        first = read(folder.clone()) => first?,
        stop = signals.next() => return Err(End::Stopped(stop)),
    };
    let mut terminal = Terminal::enter()?;
    let mut top = Top::new(terminal.size());
    top.handle_reading(Instant::now(), first);
    let mut keys = keys();
    let mut beat = tokio::time::interval(BEAT);
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    beat.tick().await;
    let mut asking: Option<Asking> = None;
    loop {
        terminal.draw(&top.lines(Instant::now()), &output)?;
        tokio::select! {
            _ = beat.tick() => {
                asking.get_or_insert_with(|| Box::pin(read(folder.clone())));
            }
            reading = answer(&mut asking) => {
                asking = None;
                top.handle_reading(Instant::now(), reading.map_err(stopped)?);
            }
            bytes = keys.recv() => match bytes.map(|bytes| top.handle_bytes(&bytes)) {
                Some(Next::GoOn) => {}
                // Without a terminal there is nobody to show anything.
                Some(Next::Quit) | None => return Ok(()),
            },
            _ = resized.recv() => {
                top.handle_size(terminal.size());
                terminal.clear();
            }
            stop = signals.next() => return Err(End::Stopped(stop)),
        }
    }
}

fn check(output: &Output) -> Result<(), Failure> {
    let hint = "for programs and pipes there are `status --json` and `peers --json`";
    let usage = |what: &str| Err(Failure::usage(format!("{what}; {hint}")));
    if output.json {
        return usage("top is for people and has no JSON");
    }
    if !std::io::stdout().is_terminal() {
        return usage("top needs a terminal, and the standard output is none");
    }
    if !std::io::stdin().is_terminal() {
        return usage("top needs a terminal for its keys, and the standard input is none");
    }
    Ok(())
}

/// One look at the node.
async fn read(folder: Folder) -> Result<Reading, End> {
    let mut session = Session::with_running(folder);
    let mut reading = Reading::default();
    let mut each = |answer| {
        reading.handle_answer(&answer);
        Ok(())
    };
    match session.ask(&Request::Top, &mut each).await? {
        Asked::Done => Ok(reading),
        Asked::Interrupted => Err(End::Failed(Failure::new(Kind::NotRunning, "it went away"))),
    }
}

/// A node that ran and runs no more.
fn stopped(end: End) -> End {
    match end {
        End::Failed(failure) if failure.kind == Kind::NotRunning => End::Failed(Failure::new(
            Kind::NotRunning,
            "the node stopped; look at its log, and start it again with `up`",
        )),
        other => other,
    }
}

async fn answer(asking: &mut Option<Asking>) -> Result<Reading, End> {
    match asking {
        Some(asking) => asking.await,
        None => std::future::pending().await,
    }
}

/// What is typed, as it comes. A thread reads it, because a terminal that does not block would not
/// block for the shell either, with which it is shared.
fn keys() -> mpsc::Receiver<Vec<u8>> {
    let (send, receive) = mpsc::channel(KEY_QUEUE);
    std::thread::spawn(move || {
        let mut buffer = [0; 256];
        while let Ok(count @ 1..) = std::io::stdin().lock().read(&mut buffer) {
            if send.blocking_send(buffer[..count].to_vec()).is_err() {
                return;
            }
        }
    });
    receive
}
