//! What each command does, once its words are understood.

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

use pinhole_node::allowlist::Mode;
use pinhole_proto::{PeerAddr, PeerId};

use super::args::Typed;
use super::config::Config;
use super::data::Folder;
use super::failure::{Failure, Kind, absent};
use super::offline::{self, CONFIG, Change};
use super::output::{End, Output};
use super::session::{Asked, Session};
use super::settings::Settings;
use super::signals::Signals;
use super::table::Spec;
use super::wire::{Answer, PingSum, Request};
use super::{base64, completions, demo, help, log, up, view};

/// Runs the program with these words, the first of which is the name that it was called by.
pub(crate) fn run(mut words: impl Iterator<Item = OsString>) -> ExitCode {
    let program = called(words.next());
    let words: Vec<OsString> = words.collect();
    // Even wrong usage is told in JSON to whom asks for JSON.
    let json = words.iter().take_while(|word| *word != "--").any(|word| word == "--json");
    let output = Output::new(json);
    let result =
        Typed::parse(words).map_err(End::from).and_then(|typed| start(typed, &program, output));
    output.end(&program, result)
}

fn called(name: Option<OsString>) -> String {
    name.as_deref()
        .map(std::path::Path::new)
        .and_then(std::path::Path::file_name)
        .map_or_else(|| "pinhole".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn start(typed: Typed, program: &str, output: Output) -> Result<(), End> {
    if typed.has("version") {
        return output.line(&format!("{program} {}", env!("CARGO_PKG_VERSION")));
    }
    let Some(spec) = typed.command else {
        if typed.has("help") {
            return output.text(&help::screen(program));
        }
        return Err(End::Failed(Failure::usage(format!(
            "a command is missing; `{program} --help` lists them"
        ))));
    };
    if typed.has("help") {
        return output.text(&help::of(program, spec));
    }
    typed.check_operands(program)?;
    let verbosity = typed.verbosity()?;
    log::start(verbosity, spec.name != "up");
    Command { program, spec, typed, output }.run()
}

struct Command<'a> {
    program: &'a str,
    spec: &'static Spec,
    typed: Typed,
    output: Output,
}

impl Command<'_> {
    fn run(self) -> Result<(), End> {
        match self.spec.name {
            "init" => offline::init(&self.folder()?, self.typed.has("network-key"), &self.output),
            "check" => self.check(),
            "id" => offline::id(&self.folder()?, &self.output),
            "completions" => {
                let shell = self.operand(0)?;
                self.output.text(&completions::script(&shell, self.program)?)
            }
            "find" | "dht" | "relay" | "top" => Err(End::Failed(self.absent()?)),
            _ => self.run_async(),
        }
    }

    fn run_async(self) -> Result<(), End> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(
            |error| Failure::new(Kind::Denied, format!("the runtime does not start: {error}")),
        )?;
        let result = runtime.block_on(self.dispatch());
        // A name that is still being looked up is nobody's concern any more.
        runtime.shutdown_background();
        result
    }

    async fn dispatch(self) -> Result<(), End> {
        match self.spec.name {
            "up" => self.up().await,
            "demo" => demo::demo(&self.output).await,
            "ping" => self.ping().await,
            "peers" => self.peers().await,
            "connect" => self.connect().await,
            "send" => self.send().await,
            "allow" | "deny" | "forget" => self.change().await,
            "addr" => self.simple(Request::Addr).await,
            "status" => self.simple(Request::Status).await,
            "nat" => self.simple(Request::Nat).await,
            "disconnect" => {
                let target = self.peer(0)?.to_string();
                self.simple(Request::Disconnect { target }).await
            }
            other => Err(End::Failed(absent(other))),
        }
    }

    async fn up(self) -> Result<(), End> {
        let flags = Settings::from_flags(&self.typed)?;
        let config = self.typed.path("config");
        up::up(&self.folder()?, config, flags, self.typed.verbosity()?, self.output).await
    }

    fn check(self) -> Result<(), End> {
        let config = Config::load(self.typed.path("config"), self.folder()?.file(CONFIG))?;
        offline::check(&config, &self.output)
    }

    /// One request to the running node, its answers as they come.
    async fn simple(self, request: Request) -> Result<(), End> {
        let session = Session::with_running(self.folder()?);
        let output = self.output;
        ask_once(session, &request, &mut |answer| output.answer(&answer)).await
    }

    async fn peers(self) -> Result<(), End> {
        let session = Session::with_running(self.folder()?);
        let output = self.output;
        let mut table = Vec::new();
        ask_once(session, &Request::Peers, &mut |answer| match answer {
            Answer::Peer(peer) if !output.json => {
                table.push(peer);
                Ok(())
            }
            answer => output.answer(&answer),
        })
        .await?;
        if output.json { Ok(()) } else { output.text(&view::peers(&table)) }
    }

    async fn connect(self) -> Result<(), End> {
        let request =
            Request::Connect { target: self.peer(0)?.to_string(), timeout_ms: self.timeout_ms()? };
        let session = Session::or_temporary(self.folder()?);
        let output = self.output;
        ask_once(session, &request, &mut |answer| output.answer(&answer)).await
    }

    async fn send(self) -> Result<(), End> {
        let kind = self.typed.text("kind")?.unwrap_or_else(|| "chat".to_owned());
        if !["chat", "data", "control"].contains(&kind.as_str()) {
            return Err(End::Failed(Failure::usage(format!(
                "--kind {kind}: there is no such kind; write chat, data or control"
            ))));
        }
        let target = self.peer(0)?.to_string();
        let body = body(self.operand(1)?, &kind)?;
        let request = Request::Send {
            target,
            kind,
            body_b64: base64::encode(&body),
            timeout_ms: self.timeout_ms()?,
        };
        let session = Session::or_temporary(self.folder()?);
        let output = self.output;
        ask_once(session, &request, &mut |answer| output.answer(&answer)).await
    }

    async fn ping(self) -> Result<(), End> {
        let target = self.peer(0)?.to_string();
        let count = self.typed.parsed::<u64>("count", "number of pings")?;
        if count == Some(0) {
            return Err(End::Failed(Failure::usage("-c 0 pings nobody; give 1 or more")));
        }
        let interval_ms = self.seconds("interval", 1.0, 0.01, 86_400.0)?;
        let timeout_ms = self.timeout_ms()?;
        let mut session = Session::or_temporary(self.folder()?);
        let mut signals = Signals::new()?;
        let mut tally = Tally::default();
        let output = self.output;
        let pinged = tokio::select! {
            pinged = async {
                loop {
                    let request = Request::Ping {
                        target: target.clone(),
                        count: count.map(|count| count - tally.sent()),
                        interval_ms,
                        timeout_ms,
                        first: tally.sent() + 1,
                    };
                    let asked = session.ask(&request, &mut |answer| tally.note(&answer, &output)).await;
                    match asked {
                        // The node that pinged for us has gone; go on with another one.
                        Ok(Asked::Interrupted) if count != Some(tally.sent()) => {}
                        other => return other.map(drop),
                    }
                }
            } => pinged,
            _ = signals.next() => tally.interrupted(),
        };
        signals.unless_again(session.close()).await;
        if matches!(pinged, Err(End::ReaderGone)) {
            return pinged;
        }
        tally.print(&output)?;
        pinged
    }

    async fn change(self) -> Result<(), End> {
        let changes = self.changes()?;
        let folder = self.folder()?;
        let output = self.output;
        let mut last = None;
        let requests = requests_for(&changes);
        let mut session = Session::with_running(folder.clone());
        for request in &requests {
            let mut keep = |answer| {
                last = Some(answer);
                Ok(())
            };
            match session.ask(request, &mut keep).await {
                Ok(_) => {}
                Err(End::Failed(failure)) if failure.kind == Kind::NotRunning => {
                    return self.change_on_disk(&folder, &changes);
                }
                Err(end) => return Err(end),
            }
        }
        last.map_or(Ok(()), |answer| output.answer(&answer))
    }

    fn change_on_disk(&self, folder: &Folder, changes: &[Change]) -> Result<(), End> {
        folder.make()?;
        let _lock = folder.lock()?;
        self.output.answer(&Answer::Allowlist(offline::change(folder, changes)?))
    }

    fn changes(&self) -> Result<Vec<Change>, Failure> {
        let peers = self.peers_named()?;
        let mut changes = Vec::new();
        if let Some(mode) = self.typed.text("mode")? {
            let mode: Mode =
                mode.parse().map_err(|error| Failure::usage(format!("--mode: {error}")))?;
            changes.push(Change::Mode(mode));
        }
        if self.spec.name == "allow" && peers.is_empty() {
            if changes.is_empty() && !self.typed.has("list") {
                return Err(Failure::usage(
                    "whom? name peers (allow PEER…), or use --list or --mode open|learn|strict",
                ));
            }
            return Ok(changes);
        }
        changes.push(match self.spec.name {
            "allow" => Change::Allow(peers),
            "deny" => Change::Deny(peers),
            _ => Change::Forget(peers),
        });
        Ok(changes)
    }

    fn absent(&self) -> Result<Failure, Failure> {
        let words = self.typed.operands()?;
        let verbs: &[&str] = match self.spec.name {
            "dht" => &["put", "get", "announce", "providers"],
            "relay" => &["list", "add", "remove", "test"],
            _ => &[],
        };
        match words.first() {
            Some(verb) if !verbs.is_empty() && !verbs.contains(&verb.as_str()) => {
                Err(Failure::usage(format!(
                    "there is no `{} {verb}`; write {}",
                    self.spec.name,
                    verbs.join(", ")
                )))
            }
            _ => Ok(absent(self.spec.name)),
        }
    }

    fn folder(&self) -> Result<Folder, Failure> {
        Folder::locate(self.typed.path("data"))
    }

    fn operand(&self, index: usize) -> Result<String, Failure> {
        self.typed.operands().map(|all| all.into_iter().nth(index).unwrap_or_default())
    }

    fn peer(&self, index: usize) -> Result<PeerAddr, Failure> {
        peer(&self.operand(index)?)
    }

    fn peers_named(&self) -> Result<Vec<PeerId>, Failure> {
        self.typed.operands()?.iter().map(|text| peer(text).map(|addr| addr.peer)).collect()
    }

    fn timeout_ms(&self) -> Result<u64, Failure> {
        self.seconds("timeout", 10.0, 0.1, 3_600.0)
    }

    /// A time in seconds, as milliseconds.
    fn seconds(&self, flag: &str, default: f64, min: f64, max: f64) -> Result<u64, Failure> {
        let seconds = self.typed.parsed::<f64>(flag, "number of seconds")?.unwrap_or(default);
        if !(min..=max).contains(&seconds) {
            return Err(Failure::usage(format!(
                "--{flag} {seconds}: give a number of seconds from {min} to {max}"
            )));
        }
        let time = Duration::from_secs_f64(seconds);
        Ok(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    }
}

fn peer(text: &str) -> Result<PeerAddr, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text}: {error}")))
}

/// One request whose command ends with it.
async fn ask_once(
    mut session: Session,
    request: &Request,
    each: &mut dyn FnMut(Answer) -> Result<(), End>,
) -> Result<(), End> {
    let mut signals = Signals::new()?;
    let asked = tokio::select! {
        asked = session.ask(request, each) => asked,
        stop = signals.next() => Err(End::Stopped(stop)),
    };
    signals.unless_again(session.close()).await;
    match asked? {
        Asked::Done => Ok(()),
        Asked::Interrupted => Err(End::Failed(Failure::new(
            Kind::NotRunning,
            "the node stopped before the command was done; look at its log and try again",
        ))),
    }
}

fn requests_for(changes: &[Change]) -> Vec<Request> {
    if changes.is_empty() {
        return vec![Request::Allowlist];
    }
    changes
        .iter()
        .map(|change| match change {
            Change::Allow(peers) => Request::Allow { peers: peers.clone() },
            Change::Deny(peers) => Request::Deny { peers: peers.clone() },
            Change::Forget(peers) => Request::Forget { peers: peers.clone() },
            Change::Mode(mode) => Request::Mode { mode: mode.to_string() },
        })
        .collect()
}

/// The bytes of a message: the text, or the standard input for `-`.
fn body(text: String, kind: &str) -> Result<Vec<u8>, Failure> {
    let body = if text == "-" {
        let mut body = Vec::new();
        std::io::stdin()
            .lock()
            .take(MAX_BODY as u64 + 1)
            .read_to_end(&mut body)
            .map_err(|error| Failure::io("cannot read the standard input", &error))?;
        body
    } else {
        text.into_bytes()
    };
    if body.len() > MAX_BODY {
        return Err(Failure::usage(format!(
            "a message holds {MAX_BODY} bytes and this one is longer; send it in parts"
        )));
    }
    if kind == "chat" && std::str::from_utf8(&body).is_err() {
        return Err(Failure::usage("a chat message is UTF-8 text; send bytes with --kind data"));
    }
    Ok(body)
}

const MAX_BODY: usize = pinhole_proto::message::MAX_BODY;

/// What a `ping` has seen so far.
#[derive(Default)]
struct Tally {
    lost: u64,
    times: Times,
}

/// Round trips in milliseconds.
#[derive(Default)]
struct Times {
    count: u64,
    sum: f64,
    min: Option<f64>,
    max: Option<f64>,
}

impl Tally {
    fn sent(&self) -> u64 {
        self.lost + self.times.count
    }

    fn note(&mut self, answer: &Answer, output: &Output) -> Result<(), End> {
        match answer {
            Answer::Pong(pong) => {
                self.times.count += 1;
                self.times.sum += pong.rtt_ms;
                self.times.min =
                    Some(self.times.min.map_or(pong.rtt_ms, |min| min.min(pong.rtt_ms)));
                self.times.max =
                    Some(self.times.max.map_or(pong.rtt_ms, |max| max.max(pong.rtt_ms)));
            }
            _ => self.lost += 1,
        }
        output.answer(answer)
    }

    /// A person ended it: a success if anything came back.
    fn interrupted(&self) -> Result<(), End> {
        if self.times.count > 0 || self.sent() == 0 {
            return Ok(());
        }
        Err(End::Failed(Failure::new(
            Kind::Timeout,
            "no answer: wrong id or network, offline, or not allowed",
        )))
    }

    fn print(&self, output: &Output) -> Result<(), End> {
        let round = |ms: f64| (ms * 1e3).round() / 1e3;
        let Times { count, sum, min, max } = self.times;
        let average = (count > 0).then(|| round(sum / count as f64));
        let sum = PingSum {
            sent: self.sent(),
            received: count,
            min_ms: min,
            avg_ms: average,
            max_ms: max,
        };
        let mut text = format!("{} sent, {count} received", sum.sent);
        if let (Some(min), Some(average), Some(max)) = (min, average, max) {
            text.push_str(&format!("; min {min:.2} ms, average {average:.2} ms, max {max:.2} ms"));
        }
        output.either(&sum, &(text + "\n"))
    }
}
