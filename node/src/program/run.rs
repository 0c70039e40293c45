//! A node on a data folder: its start, with everything that lies in the folder, and its stop.

use std::sync::Arc;
use std::time::Duration;

use pinhole_node::allowlist::{Allowlist, Mode};
use pinhole_node::{BindError, Builder, Events, Limits, Node, StartError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::config::{Config, Level};
use super::control::Control;
use super::data::{CONNECTION_ID_KEY, Folder, Lock, read_network_key};
use super::desk::Desk;
use super::failure::{Failure, Kind};
use super::offline::CONFIG;
use super::output::unix_micros;
use super::settings::{self, DEFAULT_PORT, Settings};
use super::state::{load_allowlist, load_counter, load_wanted, save_counter};

/// A node that runs on a data folder and answers commands.
pub(crate) struct Running {
    pub(crate) node: Node,
    /// From the start on.
    pub(crate) events: Events,
    pub(crate) desk: Arc<Desk>,
    pub(crate) control: JoinHandle<()>,
    counter: JoinHandle<()>,
    folder: Folder,
    _lock: Lock,
}

/// Something that went wrong without keeping the node from its start.
struct Trouble {
    what: String,
    hint: String,
}

/// How long another process may hold the folder for a moment, as `allow` does.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// Messages that may wait to be printed; beyond them, their senders wait.
const MESSAGE_QUEUE: usize = 64;
/// How long a temporary node stays for other commands that use it.
const LINGER: Duration = Duration::from_secs(20);

/// Starts the node of `up`.
pub(crate) async fn permanent(
    folder: &Folder,
    config: Option<std::path::PathBuf>,
    flags: Settings,
) -> Result<Running, Failure> {
    folder.make()?;
    let lock = lock_patiently(folder).await?;
    let config = Config::load(config, folder.file(CONFIG))?;
    config.errors()?;
    let troubles = troubles_of(&config);
    let settings = config.settings.overridden_by(flags);
    start(folder, lock, settings, troubles, false).await
}

/// Starts a node for one command: the same identity, on any free port.
pub(crate) async fn temporary(folder: &Folder) -> Result<Running, Failure> {
    folder.make()?;
    let lock = folder.lock()?;
    let config = Config::load(None, folder.file(CONFIG))?;
    config.errors()?;
    let troubles = troubles_of(&config);
    let mut settings = config.settings;
    settings.listen = vec![settings::any_v6(0), settings::any_v4(0)];
    settings.peers.clear();
    start(folder, lock, settings, troubles, true).await
}

async fn lock_patiently(folder: &Folder) -> Result<Lock, Failure> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match folder.lock() {
            Err(failure) if failure.kind == Kind::Busy && Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(25)).await;
            }
            other => return other,
        }
    }
}

fn troubles_of(config: &Config) -> Vec<Trouble> {
    let name = config.path.display();
    config
        .problems
        .iter()
        .filter(|problem| problem.level == Level::Skipped)
        .map(|problem| Trouble {
            what: format!("{name}:{}:{}: {}", problem.line, problem.column, problem.what),
            hint: format!("{}; the node runs without this entry", problem.hint),
        })
        .collect()
}

async fn start(
    folder: &Folder,
    lock: Lock,
    settings: Settings,
    mut troubles: Vec<Trouble>,
    temporary: bool,
) -> Result<Running, Failure> {
    let key = folder.key_or_new()?;
    let counter = load_counter(folder)?;
    let allowlist = load_allowlist(folder)?;
    let wanted = load_wanted(folder)?;
    for trouble in [counter.trouble, allowlist.trouble, wanted.trouble].into_iter().flatten() {
        let hint = "if that came by itself, look after the disk".to_owned();
        troubles.push(Trouble { what: trouble, hint });
    }
    troubles.extend(settings.absent.iter().map(|feature| Trouble {
        what: format!("{feature} is not in this version"),
        hint: "the node runs without it".to_owned(),
    }));
    let us = key.peer_id();
    if settings.peers.iter().any(|addr| addr.peer == us) {
        let hint = "take it out of the list of peers".to_owned();
        troubles.push(Trouble { what: "a peer to dial is this node itself".to_owned(), hint });
    }

    save_counter(folder, reserved(counter.value))?;
    let builder = builder(folder, &settings)?
        .secret_key(key)
        .counter_floor(counter.value)
        .allowlist(effective(allowlist.value, &settings));
    let node = listening(builder, &settings).start().await.map_err(start_failure)?;
    let events = node.events();
    // From here on, what fails has to close the node.
    let control = match Control::bind(folder, &lock) {
        Ok(control) => control,
        Err(failure) => {
            let _ = node.close().await;
            return Err(failure);
        }
    };
    for trouble in troubles {
        node.report_problem(trouble.what, &trouble.hint);
    }
    if !temporary {
        for peer in wanted.value {
            if let Err(error) = node.want(peer).await {
                node.report_problem(error.to_string(), "`disconnect` it, or connect it again");
            }
        }
    }
    let desk = Arc::new(Desk::new(node.clone(), folder.clone(), settings.strict, temporary));
    let control = tokio::spawn(control.serve(desk.clone()));
    let counter = tokio::spawn(keep_counter(folder.clone(), node.clone()));
    Ok(Running { node, events, desk, control, counter, folder: folder.clone(), _lock: lock })
}

fn builder(folder: &Folder, settings: &Settings) -> Result<Builder, Failure> {
    let network_key = match &settings.network_key {
        Some(path) => Some(read_network_key(path)?),
        None => folder.network_key()?,
    };
    let mut builder = Node::builder()
        .connection_id_key(folder.secret_or_new(CONNECTION_ID_KEY)?)
        .limits(limits(settings))
        .messages(MESSAGE_QUEUE);
    if let Some(key) = network_key {
        builder = builder.network_key(key);
    }
    Ok(settings.peers.iter().cloned().fold(builder, Builder::peer))
}

fn limits(settings: &Settings) -> Limits {
    let mut limits = Limits::default();
    let said = &settings.limits;
    // The configuration's bounds lie far within these types.
    let set = |field: &mut usize, value: Option<u64>| {
        *field = value.and_then(|value| value.try_into().ok()).unwrap_or(*field);
    };
    let set32 = |field: &mut u32, value: Option<u64>| {
        *field = value.and_then(|value| value.try_into().ok()).unwrap_or(*field);
    };
    set(&mut limits.max_connections, said.max_connections);
    set(&mut limits.max_half_open, said.max_half_open);
    set32(&mut limits.max_streams, said.max_streams);
    set32(&mut limits.stream_window, said.stream_window);
    set32(&mut limits.connection_window, said.connection_window);
    limits.send_window = said.send_window.unwrap_or(limits.send_window);
    limits
}

/// Without a word about it, the default port on the families that this machine has.
fn listening(builder: Builder, settings: &Settings) -> Builder {
    let any = settings.listen.iter().all(|addr| addr.port() == 0 && addr.ip().is_unspecified());
    match settings.listen.as_slice() {
        [] => builder.listen_any(DEFAULT_PORT),
        [_, _] if any => builder.listen_any(0),
        said => said.iter().copied().fold(builder, Builder::listen),
    }
}

/// What lies on disk, and what the configuration adds to it.
fn effective(mut list: Allowlist, settings: &Settings) -> Allowlist {
    if settings.strict {
        list.handle_mode(Mode::Strict);
    }
    for peer in &settings.allow {
        // Denied beats allowed, also if the configuration allows.
        let denied = list.denied().any(|other| other == peer);
        let added = list.handle_allow(*peer).is_ok();
        if added && denied {
            let _ = list.handle_deny(*peer);
        }
    }
    list
}

fn start_failure(error: StartError) -> Failure {
    let kind = match &error {
        StartError::Bind(BindError::InUse { .. }) => Kind::Busy,
        StartError::Bind(_) => Kind::Unreachable,
        _ => Kind::Usage,
    };
    Failure::new(kind, error.to_string())
}

/// How far ahead of what was used the stored counter is: a crash and a clock that went back
/// meanwhile must not bring an old value again. SPEC §5.3.
const RESERVE_MICROS: u64 = 24 * 3_600_000_000;
/// More dials than this does no node make before it stores the counter again.
const RESERVE_DIALS: u64 = 1_000_000_000;
const STORE_COUNTER: Duration = Duration::from_secs(12 * 3_600);

fn reserved(used: u64) -> u64 {
    unix_micros().saturating_add(RESERVE_MICROS).max(used.saturating_add(RESERVE_DIALS))
}

async fn keep_counter(folder: Folder, node: Node) {
    loop {
        tokio::time::sleep(STORE_COUNTER).await;
        if let Err(failure) = save_counter(&folder, reserved(node.handshake_counter())) {
            node.report_problem(failure.message, "make room on the disk");
        }
    }
}

impl Running {
    /// Closes the node, within 5 s.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.desk.close();
        self.control.abort();
        self.counter.abort();
        let closed = self.node.close().await;
        if let Err(failure) = save_counter(&self.folder, self.node.handshake_counter()) {
            tracing::warn!("{failure}");
        }
        closed.map_err(|error| Failure::new(Kind::NotRunning, error.to_string()))
    }

    /// Closes a temporary node once no other command waits for it.
    pub(crate) async fn close_when_unused(self) {
        self.control.abort();
        // Who takes longer than that is cut off.
        let _ = timeout(LINGER, self.desk.close_when_unused()).await;
        if let Err(failure) = self.close().await {
            tracing::warn!("{failure}");
        }
    }
}
