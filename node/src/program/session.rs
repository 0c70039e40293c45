//! A command's way to the node of its data folder: the one that runs, or a temporary one.

use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::Instant;

use super::control::{Answers, Place};
use super::data::Folder;
use super::failure::{Failure, Kind};
use super::output::End;
use super::run::{self, Running};
use super::wire::{Answer, Line, Request};

/// How long to wait for a node that is starting or stopping.
const PATIENCE: Duration = Duration::from_secs(6);
/// How often to look meanwhile. Locks and sockets of other processes tell nobody when they are free.
const LOOK_AGAIN: Duration = Duration::from_millis(25);

/// What became of a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It was served.
    Done,
    /// The node went away while it served.
    Interrupted,
}

/// A command's node.
pub(crate) struct Session {
    folder: Folder,
    may_start: bool,
    temporary: Option<Running>,
}

impl Session {
    /// For commands that need the node to run already.
    pub(crate) fn with_running(folder: Folder) -> Self {
        Self { folder, may_start: false, temporary: None }
    }

    /// For commands that start a temporary node where none runs.
    pub(crate) fn or_temporary(folder: Folder) -> Self {
        Self { folder, may_start: true, temporary: None }
    }

    /// Sends a request and hands on its answers.
    pub(crate) async fn ask(
        &mut self,
        request: &Request,
        each: &mut dyn FnMut(Answer) -> Result<(), End>,
    ) -> Result<Asked, End> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let stream = self.node(deadline).await?;
            if let Some(asked) = exchange(stream, request, each).await? {
                return Ok(asked);
            }
            // It was on its way out and took no request any more.
            if Instant::now() > deadline {
                return Err(End::Failed(Failure::new(
                    Kind::NotRunning,
                    "the node takes no commands; look at its log and restart it",
                )));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Stops the temporary node, if there is one.
    pub(crate) async fn close(self) {
        if let Some(running) = self.temporary {
            running.close_when_unused().await;
        }
    }

    async fn node(&mut self, deadline: Instant) -> Result<UnixStream, Failure> {
        if !self.folder.exists() && !self.may_start {
            return Err(self.not_running());
        }
        loop {
            if self.folder.exists()
                && let Some(stream) = Place::of(&self.folder)?.connect().await?
            {
                return Ok(stream);
            }
            if !self.may_start {
                return Err(self.not_running());
            }
            match run::temporary(&self.folder).await {
                Ok(running) => self.temporary = Some(running),
                // Whoever holds the folder will open its socket or let go.
                Err(failure) if failure.kind == Kind::Busy && Instant::now() < deadline => {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    fn not_running(&self) -> Failure {
        Failure::new(
            Kind::NotRunning,
            format!(
                "no node runs on {}; start one with `up`, or name another folder: --data DIR",
                self.folder.path().display()
            ),
        )
    }
}

/// `None` if the node did not take the request, so that it may be sent again.
async fn exchange(
    stream: UnixStream,
    request: &Request,
    each: &mut dyn FnMut(Answer) -> Result<(), End>,
) -> Result<Option<Asked>, End> {
    let Some(mut answers) = Answers::to(stream, request).await else { return Ok(None) };
    let mut taken = false;
    loop {
        match answers.next().await? {
            Some(Line::Taken) => taken = true,
            Some(Line::Answer(answer)) => each(answer)?,
            Some(Line::Done) => return Ok(Some(Asked::Done)),
            // The node was stopped under the request.
            Some(Line::Error(failure)) if taken && failure.kind == Kind::NotRunning => {
                return Ok(Some(Asked::Interrupted));
            }
            Some(Line::Error(failure)) => return Err(End::Failed(failure)),
            None if taken => return Ok(Some(Asked::Interrupted)),
            None => return Ok(None),
        }
    }
}
