//! A node on a data folder: its start, with everything that lies in the folder, and its stop.

use std::sync::Arc;
use std::time::Duration;

use pinhole_node::allowlist::{Allowlist, Mode};
use pinhole_node::{BindError, Builder, Events, Limits, Node, PeerId, StartError};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::config::{Config, Doubt, Level, about_addresses};
use super::control::Control;
use super::data::{CONNECTION_ID_KEY, Folder, Lock, read_network_key};
use super::desk::{Asked, Desk};
use super::failure::{Failure, Kind};
use super::metrics::Exporter;
use super::offline::CONFIG;
use super::output::unix_micros;
use super::settings::{self, DEFAULT_PORT, Settings};
use super::state::{Counter, load_allowlist, load_counter, load_wanted, save_counter};
use super::task;

/// A node that runs on a data folder and answers commands.
pub(crate) struct Running {
    pub(crate) node: Node,
    /// From the start on.
    pub(crate) events: Events,
    pub(crate) desk: Arc<Desk>,
    pub(crate) control: JoinHandle<()>,
    counter: JoinHandle<()>,
    metrics: Option<JoinHandle<()>>,
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
    let mut config = Config::load(config, folder.file(CONFIG))?;
    config.errors()?;
    let mut troubles = troubles_of(&config);
    let mut settings = std::mem::take(&mut config.settings).overridden_by(flags);
    let us = folder.key_or_new()?.peer_id();
    troubles.extend(doubtful(&config, &settings, us));
    settings.peers.retain(|addr| addr.peer != us);
    start(folder, lock, settings, troubles, false).await
}

/// Starts a node for one command: the same identity, on any free port.
pub(crate) async fn temporary(folder: &Folder) -> Result<Running, Failure> {
    folder.make()?;
    let lock = folder.lock()?;
    let config = Config::load(None, folder.file(CONFIG))?;
    config.errors()?;
    let mut settings = config.settings;
    settings.listen = vec![settings::any_v6(0), settings::any_v4(0)];
    // What a lasting node does about its peers, and what it lacks, is not this one's concern.
    settings.peers.clear();
    settings.metrics = None;
    settings.absent.clear();
    start(folder, lock, settings, Vec::new(), true).await
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

/// Addresses that are given for two peers, and a peer that is this node. Whom the allowlist does not
/// admit becomes a problem as the node runs.
fn doubtful(config: &Config, settings: &Settings, us: PeerId) -> Vec<Trouble> {
    about_addresses(&settings.peers, Some(us))
        .into_iter()
        .map(|Doubt { index, what, hint }| Trouble {
            what: format!("{}: {what}", config.place(index)),
            hint: hint.to_owned(),
        })
        .collect()
}

async fn start(
    folder: &Folder,
    lock: Lock,
    settings: Settings,
    config_troubles: Vec<Trouble>,
    temporary: bool,
) -> Result<Running, Failure> {
    let key = folder.key_or_new()?;
    let counter = load_counter(folder)?;
    let allowlist = load_allowlist(folder)?;
    let wanted = load_wanted(folder)?;
    let mut troubles = config_troubles;
    for trouble in [counter.trouble, allowlist.trouble, wanted.trouble].into_iter().flatten() {
        let hint = "if that came by itself, look after the disk".to_owned();
        troubles.push(Trouble { what: trouble, hint });
    }
    troubles.extend(asked_in_vain(&settings));

    let exporter = match settings.metrics {
        Some(addr) => Some(Exporter::bind(addr).await?),
        None => None,
    };
    let floor = floor(counter.value, unix_micros());
    save_counter(folder, reserved(floor))?;
    let builder = builder(folder, &settings)?
        .secret_key(key)
        .counter_floor(floor)
        .allowlist(effective(allowlist.value, &settings));
    let (node, events) =
        listening(builder, &settings).start_with_events().await.map_err(start_failure)?;
    // From here on, what fails has to close the node.
    let control = match Control::bind(folder, &lock) {
        Ok(control) => control,
        Err(failure) => {
            // The first fault is the one to tell.
            let _ = node.close().await;
            return Err(failure);
        }
    };
    for trouble in troubles {
        node.report_problem(trouble.what, &trouble.hint);
    }
    if !temporary {
        for peer in wanted.value.iter().cloned() {
            if let Err(error) = node.want(peer).await {
                node.report_problem(error.to_string(), "`disconnect` it, or connect it again");
            }
        }
    }
    let asked = Asked { strict: settings.strict, allow: settings.allow };
    let desk = Desk::new(node.clone(), folder.clone(), asked, wanted.value, temporary);
    desk.review_admission().await;
    let desk = Arc::new(desk);
    let control = task::spawn(control.serve(desk.clone()));
    let counter = task::spawn(keep_counter(folder.clone(), node.clone()));
    let metrics = exporter.map(|exporter| task::spawn(exporter.serve(node.clone())));
    let folder = folder.clone();
    Ok(Running { node, events, desk, control, counter, metrics, folder, _lock: lock })
}

/// What the settings ask for and will not get.
fn asked_in_vain(settings: &Settings) -> Vec<Trouble> {
    let absent = settings.absent.iter().map(|feature| Trouble {
        what: format!("{feature} is not in this version"),
        hint: "the node runs without it".to_owned(),
    });
    absent.collect()
}

fn builder(folder: &Folder, settings: &Settings) -> Result<Builder, Failure> {
    let network_key = match &settings.network_key {
        Some(path) => Some(read_network_key(path)?),
        None => folder.network_key()?,
    };
    let mut builder = Node::builder()
        .connection_id_key(folder.secret_or_new(CONNECTION_ID_KEY)?)
        .limits(limits(settings))
        .liveness(settings.tuning.liveness().map_err(contradiction)?)
        .backoff(settings.tuning.backoff().map_err(contradiction)?)
        .messages(MESSAGE_QUEUE);
    if let Some(key) = network_key {
        builder = builder.network_key(key);
    }
    Ok(settings.peers.iter().cloned().fold(builder, Builder::peer))
}

/// A preset of the command line may not fit times of the configuration.
fn contradiction(rule: String) -> Failure {
    Failure::usage(format!("the times of liveness contradict each other: {rule}; see `check`"))
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
    set(&mut limits.max_accepts_per_second, said.accept_rate);
    set32(&mut limits.redials_per_second, said.dial_rate);
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
pub(crate) fn effective(mut list: Allowlist, settings: &Settings) -> Allowlist {
    if settings.strict {
        list.handle_mode(Mode::Strict);
    }
    for peer in &settings.allow {
        // Denied beats allowed, also if the configuration allows.
        let denied = list.denied().any(|other| other == peer);
        let added = list.handle_allow(*peer).is_ok();
        if added && denied {
            // There is room: it was in that list a moment ago.
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

/// How far ahead of the clock a running node reserves handshake counters: a crash and a clock that
/// went back meanwhile must not bring an old value again. SPEC §5.3.
const RESERVE: u64 = 24 * 3_600_000_000;
/// More dials than this does no node make before it reserves again.
const RESERVE_DIALS: u64 = 1_000_000_000;
/// How often a running node reserves again.
const RESERVE_AGAIN: Duration = Duration::from_secs(12 * 3_600);
/// How far a clock is believed to go back that is not plainly wrong.
const CLOCK_SLACK: u64 = 600_000_000;

fn reserved(used: u64) -> Counter {
    let ahead = unix_micros().saturating_add(RESERVE);
    Counter::Reserved(ahead.max(used.saturating_add(RESERVE_DIALS)))
}

/// What the counter starts above, at this time in microseconds.
///
/// A killed node followed the clock far below what it had reserved. Where the clock is later than
/// when it reserved, its values were earlier than now, give or take the slack; where it is not, all of the
/// reserve counts as used.
fn floor(stored: Counter, now: u64) -> u64 {
    match stored {
        Counter::Used(value) => value,
        Counter::Reserved(value) if now >= value.saturating_sub(RESERVE) => {
            value.min(now.saturating_add(CLOCK_SLACK))
        }
        Counter::Reserved(value) => value,
    }
}

async fn keep_counter(folder: Folder, node: Node) {
    loop {
        tokio::time::sleep(RESERVE_AGAIN).await;
        if let Err(failure) = save_counter(&folder, reserved(node.handshake_counter())) {
            node.report_problem(failure.message, "make room on the disk");
        }
    }
}

impl Running {
    /// Closes the node, within 5 s.
    pub(crate) async fn close(self) -> Result<(), Failure> {
        self.desk.close();
        self.desk.store_newcomers().await;
        self.control.abort();
        self.counter.abort();
        self.metrics.iter().for_each(JoinHandle::abort);
        let closed = self.node.close().await;
        if let Err(failure) =
            save_counter(&self.folder, Counter::Used(self.node.handshake_counter()))
        {
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

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000_000_000;

    #[test]
    fn the_counter_never_goes_back() {
        let after_clean_end = floor(Counter::Used(NOW), NOW - RESERVE);
        assert_eq!(after_clean_end, NOW, "whatever the clock says");
        let killed = Counter::Reserved(NOW + RESERVE);
        assert_eq!(floor(killed, NOW + 5), NOW + 5 + CLOCK_SLACK, "near the clock");
        assert_eq!(floor(killed, NOW - 5), NOW + RESERVE, "a clock that went back is not used");
        assert_eq!(floor(killed, 0), NOW + RESERVE);
        assert_eq!(floor(killed, NOW + 2 * RESERVE), NOW + RESERVE, "the clock is past it all");
    }

    #[test]
    fn the_reserve_lies_ahead_of_clock_and_use() {
        let Counter::Reserved(value) = reserved(0) else { panic!("it is reserved") };
        assert!(value > unix_micros() + RESERVE / 2);
        assert_eq!(reserved(u64::MAX), Counter::Reserved(u64::MAX));
        assert_eq!(reserved(u64::MAX / 2), Counter::Reserved(u64::MAX / 2 + RESERVE_DIALS));
    }

    #[test]
    fn what_is_denied_on_disk_stays_denied_when_the_configuration_allows_it() {
        let peer: PeerId =
            "pin178yhzfdz0055n2y9j2gntumngvlj2tw6y44wxj7m4hkknax64g8qpgrn44".parse().unwrap();
        let settings = Settings { allow: vec![peer], strict: true, ..Settings::default() };
        let list = effective(Allowlist::default(), &settings);
        assert!(list.mode() == Mode::Strict && list.admits(&peer));
        let mut denied = Allowlist::default();
        denied.handle_deny(peer).unwrap();
        assert!(!effective(denied, &settings).admits(&peer));
    }
}
