//! The control socket: commands of the owner reach the running node.
//!
//! One request a connection. A line is bounded, clients are bounded in number and in the time that
//! they may keep the node waiting, and only the user who runs the node is listened to.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::data::{Folder, Lock};
use super::desk::Desk;
use super::failure::{Failure, Kind};
use super::json::Json;
use super::task;
use super::wire::{Answer, Line, Request};

/// The longest line of a request: a message of 64 KiB in base64, and the rest.
const MAX_LINE: u64 = 128 << 10;
/// The longest line of an answer, which lists at most some thousands of peers.
const MAX_ANSWER: u64 = 16 << 20;
/// Commands at the same time.
const MAX_CLIENTS: usize = 32;
/// How long a client may take to send its request, or to read a line.
const PATIENCE: Duration = Duration::from_secs(10);

/// Where the socket of a folder is. Keep the value as long as the path is used.
#[derive(Debug)]
pub(crate) struct Place {
    path: PathBuf,
    /// The folder, opened, where the path goes through it.
    _folder: Option<fs::File>,
}

impl Place {
    /// A socket's path has room for about 100 bytes; a longer one goes through /proc.
    pub(crate) fn of(folder: &Folder) -> Result<Self, Failure> {
        let path = folder.file(SOCKET);
        if fits(&path) {
            return Ok(Self { path, _folder: None });
        }
        if !cfg!(target_os = "linux") {
            return Err(Failure::usage(format!(
                "the path {} is too long for a socket; use a data folder with a shorter path: \
                 --data DIR",
                path.display()
            )));
        }
        use std::os::fd::AsRawFd;
        let open = fs::File::open(folder.path())
            .map_err(|error| Failure::io(format!("cannot open {}", path.display()), &error))?;
        let path = PathBuf::from(format!("/proc/self/fd/{}/{SOCKET}", open.as_raw_fd()));
        Ok(Self { path, _folder: Some(open) })
    }

    /// Connects to the node that runs on the folder; `None` if none does.
    pub(crate) async fn connect(&self) -> Result<Option<UnixStream>, Failure> {
        match UnixStream::connect(&self.path).await {
            Ok(stream) => Ok(Some(stream)),
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => Ok(None),
                _ => Err(Failure::io(
                    format!("cannot reach the node through {}", self.path.display()),
                    &error,
                )),
            },
        }
    }
}

const SOCKET: &str = "control.sock";

fn fits(path: &std::path::Path) -> bool {
    std::os::unix::net::SocketAddr::from_pathname(path).is_ok()
}

/// The bound socket; the file goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Control {
    listener: UnixListener,
    place: Place,
}

impl Control {
    /// Binds the socket. What lies there is a dead process's, because the lock is ours.
    pub(crate) fn bind(folder: &Folder, _lock: &Lock) -> Result<Self, Failure> {
        let place = Place::of(folder)?;
        let failed = |error: io::Error| {
            Failure::io(format!("cannot make {}", folder.file(SOCKET).display()), &error)
        };
        match fs::remove_file(&place.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
            _ => {}
        }
        let listener = UnixListener::bind(&place.path).map_err(failed)?;
        fs::set_permissions(&place.path, fs::Permissions::from_mode(0o600)).map_err(failed)?;
        Ok(Self { listener, place })
    }

    /// Serves commands for ever.
    pub(crate) async fn serve(self, desk: Arc<Desk>) {
        let owner = UnixStream::pair().and_then(|(one, _)| one.peer_cred()).map(|cred| cred.uid());
        let places = Arc::new(Semaphore::new(MAX_CLIENTS));
        loop {
            let stream = match self.listener.accept().await {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: it passes, or the node has worse troubles.
                    tracing::warn!(%error, "the control socket cannot accept");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    continue;
                }
            };
            let theirs = stream.peer_cred().map(|cred| cred.uid()).ok();
            if theirs.is_none() || (theirs != owner.as_ref().ok().copied() && theirs != Some(0)) {
                tracing::warn!(uid = theirs, "another user tried the control socket");
                continue;
            }
            let desk = desk.clone();
            let place = places.clone().try_acquire_owned();
            task::spawn(async move {
                client(stream, &desk, place.is_ok()).await;
                drop(place);
            });
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // What stays there, the next node replaces.
        let _ = fs::remove_file(&self.place.path);
    }
}

async fn client(stream: UnixStream, desk: &Desk, has_place: bool) {
    let (read, write) = stream.into_split();
    let mut replies = Replies { write };
    let result = if has_place {
        match request(read).await {
            Ok(request) => {
                // A node that stops says nothing, and the command looks for another one.
                let Some(_open) = desk.open(&request) else { return };
                match replies.line(Line::Taken).await {
                    Ok(()) => desk.answer(request, &mut replies).await,
                    Err(gone) => Err(gone),
                }
            }
            Err(failure) => Err(failure),
        }
    } else {
        Err(Failure::new(
            Kind::Busy,
            format!("{MAX_CLIENTS} commands already wait for this node; try again"),
        ))
    };
    let last = result.map_or_else(Line::Error, |()| Line::Done);
    // A command that is gone needs no last line.
    let _ = replies.line(last).await;
}

async fn request(read: OwnedReadHalf) -> Result<Request, Failure> {
    let mut line = Vec::new();
    let mut read = BufReader::new(read.take(MAX_LINE));
    let got = timeout(PATIENCE, read.read_until(b'\n', &mut line)).await;
    match got {
        Err(_) => return Err(Failure::usage("no request came within 10 s")),
        Ok(Err(error)) => return Err(Failure::io("the request cannot be read", &error)),
        Ok(Ok(_)) => {}
    }
    if line.last() != Some(&b'\n') {
        return Err(Failure::usage("a request is one line of JSON of at most 128 KiB"));
    }
    let text = std::str::from_utf8(&line).map_err(|_| "it is not UTF-8");
    let json = text.and_then(Json::parse);
    Request::from_json(&json.map_err(|why| Failure::usage(format!("this is no request: {why}")))?)
}

/// Where the answers to one request go.
#[derive(Debug)]
pub(crate) struct Replies {
    write: OwnedWriteHalf,
}

impl Replies {
    /// Sends one answer; an error says that the command is gone.
    pub(crate) async fn answer(&mut self, answer: Answer) -> Result<(), Failure> {
        self.line(Line::Answer(answer)).await
    }

    async fn line(&mut self, line: Line) -> Result<(), Failure> {
        let text = line.into_json().line() + "\n";
        match timeout(PATIENCE, self.write.write_all(text.as_bytes())).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Failure::new(Kind::Unreachable, "the command went away")),
        }
    }
}

/// The answers to one request, at the command's side.
#[derive(Debug)]
pub(crate) struct Answers {
    read: BufReader<OwnedReadHalf>,
    _write: OwnedWriteHalf,
}

impl Answers {
    /// Sends a request; `None` if the node went away before it took it.
    pub(crate) async fn to(stream: UnixStream, request: &Request) -> Option<Self> {
        let (read, mut write) = stream.into_split();
        let line = request.to_json().line() + "\n";
        write.write_all(line.as_bytes()).await.ok()?;
        Some(Self { read: BufReader::new(read), _write: write })
    }

    /// The next line; `None` if the node went away. Not cancel safe.
    pub(crate) async fn next(&mut self) -> Result<Option<Line>, Failure> {
        let mut line = Vec::new();
        let mut limited = (&mut self.read).take(MAX_ANSWER);
        match limited.read_until(b'\n', &mut line).await {
            Ok(_) if line.last() == Some(&b'\n') => {}
            _ => return Ok(None),
        }
        let text = std::str::from_utf8(&line).ok();
        let read = text.and_then(|text| Json::parse(text).ok()).and_then(Line::from_json);
        read.map(Some).ok_or_else(|| {
            Failure::new(
                Kind::Damaged,
                "the node's answer cannot be read; it may be of another version: restart it",
            )
        })
    }
}
