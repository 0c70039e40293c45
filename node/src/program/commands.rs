//! What each command does, once its words are understood.

use std::ffi::OsString;
use std::io::Read;
use std::process::ExitCode;

use pinhole_node::allowlist::Mode;
use pinhole_proto::{PeerAddr, PeerId};

use super::args::Typed;
use super::config::Config;
use super::data::Folder;
use super::failure::{Failure, Kind, absent};
use super::json::{millis_of, object, thousandths};
use super::offline::{self, CONFIG, Change};
use super::output::{End, Output, stdout_is_stderr};
use super::session::{Asked, Session};
use super::settings::Settings;
use super::signals::Signals;
use super::table::Spec;
use super::wire::{Answer, Request, Shape};
use super::{base64, completions, demo, help, log, top, up, view};

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
        let version = env!("CARGO_PKG_VERSION");
        return output.either(&object! { "version": version }, &format!("{program} {version}\n"));
    }
    let Some(spec) = typed.command else {
        if typed.has("help") {
            return text(&output, &help::screen(program));
        }
        return Err(End::Failed(Failure::usage(format!(
            "a command is missing; `{program} --help` lists them"
        ))));
    };
    if typed.has("help") {
        return text(&output, &help::of(program, spec));
    }
    typed.check_operands(program)?;
    let verbosity = typed.verbosity()?;
    // `up` prints problems itself; where its lines go to the same place, once is enough.
    let twice = spec.name == "up" && !output.json && stdout_is_stderr();
    log::start(verbosity, !twice);
    Command { program, spec, typed, output }.run()
}

/// A text that is meant for people or shells, also when programs ask.
fn text(output: &Output, text: &str) -> Result<(), End> {
    output.either(&object! { "text": text }, text)
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
                text(&self.output, &completions::script(&shell, self.program)?)
            }
            "find" | "dht" | "relay" => Err(End::Failed(self.absent()?)),
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
            "up" => Box::pin(self.up()).await,
            "demo" => Box::pin(demo::demo(&self.output)).await,
            "top" => Box::pin(top::top(self.folder()?, self.output)).await,
            "ping" => Box::pin(self.ping()).await,
            "allow" | "deny" | "forget" => Box::pin(self.change()).await,
            _ => Box::pin(self.ask()).await,
        }
    }

    /// What a command asks of the node, and whether a temporary one may serve it.
    fn request(&self) -> Result<(Request, bool), Failure> {
        let request = match self.spec.name {
            "addr" => Request::Addr,
            "status" => Request::Status,
            "peers" => Request::Peers,
            "nat" => Request::Nat,
            "disconnect" => Request::Disconnect { target: self.peer(0)?.to_string() },
            "connect" => {
                let (target, timeout_ms) = (self.peer(0)?.to_string(), self.timeout_ms()?);
                return Ok((Request::Connect { target, timeout_ms }, true));
            }
            "send" => return Ok((self.send()?, true)),
            other => return Err(absent(other)),
        };
        Ok((request, false))
    }

    /// One request and its answers.
    async fn ask(self) -> Result<(), End> {
        let (request, may_start) = self.request()?;
        let folder = self.folder()?;
        let mut session =
            if may_start { Session::or_temporary(folder) } else { Session::with_running(folder) };
        let output = self.output;
        let mut table = Vec::new();
        let mut each = |answer: Answer| match answer.shape {
            // For people, peers are a table, which needs all of them.
            Shape::Peer if !output.json => {
                table.push(answer.json);
                Ok(())
            }
            _ => output.answer(&answer),
        };
        let mut signals = Signals::new()?;
        let asked = tokio::select! {
            asked = session.ask(&request, &mut each) => asked,
            stop = signals.next() => Err(End::Stopped(stop)),
        };
        signals.unless_again(session.close()).await;
        if asked? == Asked::Interrupted {
            return Err(End::Failed(Failure::new(
                Kind::NotRunning,
                "the node stopped before the command was done; look at its log and try again",
            )));
        }
        if request == Request::Peers && !output.json {
            return output.text(&view::peers(&table, &output));
        }
        Ok(())
    }

    async fn up(self) -> Result<(), End> {
        let flags = Settings::from_flags(&self.typed)?;
        let config = self.typed.path("config");
        up::up(&self.folder()?, config, flags, self.typed.verbosity()?, self.output).await
    }

    fn check(self) -> Result<(), End> {
        let folder = self.folder()?;
        let config = Config::load(self.typed.path("config"), folder.file(CONFIG))?;
        offline::check(config, &folder, &self.output)
    }

    fn send(&self) -> Result<Request, Failure> {
        let kind = self.typed.text("kind")?.unwrap_or_else(|| "chat".to_owned());
        if !["chat", "data", "control"].contains(&kind.as_str()) {
            return Err(Failure::usage(format!(
                "--kind {kind}: there is no such kind; write chat, data or control"
            )));
        }
        let (target, timeout_ms) = (self.peer(0)?.to_string(), self.timeout_ms()?);
        let body_b64 = base64::encode(&body(self.operand(1)?, &kind)?);
        Ok(Request::Send { target, kind, body_b64, timeout_ms })
    }

    async fn ping(self) -> Result<(), End> {
        let target = self.peer(0)?.to_string();
        let count = self.typed.parsed::<u64>("count", "number of pings")?;
        if count == Some(0) {
            return Err(End::Failed(Failure::usage("-c 0 pings nobody; give 1 or more")));
        }
        let interval_ms = self.millis("interval", 1_000, 10, 86_400_000)?;
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
        let request = match changes.as_slice() {
            [] => Request::Allowlist,
            _ => Request::Change { changes: changes.clone() },
        };
        let mut session = Session::with_running(folder.clone());
        match session.ask(&request, &mut |answer| output.answer(&answer)).await {
            Err(End::Failed(failure)) if failure.kind == Kind::NotRunning => {
                self.change_on_disk(&folder, &changes)
            }
            asked => asked.map(drop),
        }
    }

    fn change_on_disk(&self, folder: &Folder, changes: &[Change]) -> Result<(), End> {
        folder.make()?;
        let _lock = folder.lock()?;
        let json = offline::change(folder, changes)?;
        self.output.answer(&Answer { shape: Shape::Allowlist, json })
    }

    fn changes(&self) -> Result<Vec<Change>, Failure> {
        let peers = self.peers_named()?;
        let mut changes = Vec::new();
        if self.typed.has("learned") {
            changes.push(Change::AllowLearned);
        }
        if !peers.is_empty() {
            changes.push(match self.spec.name {
                "allow" => Change::Allow(peers),
                "deny" => Change::Deny(peers),
                _ => Change::Forget(peers),
            });
        }
        // After the peers, so that whom they name is not shut out for a moment.
        if let Some(mode) = self.typed.text("mode")? {
            let mode: Mode =
                mode.parse().map_err(|error| Failure::usage(format!("--mode: {error}")))?;
            changes.push(Change::Mode(mode));
        }
        if changes.is_empty() && !self.typed.has("list") {
            return Err(Failure::usage(
                "whom? name peers (allow PEER…), or use --learned, --list or --mode \
                 open|learn|strict",
            ));
        }
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
        self.millis("timeout", 10_000, 100, 3_600_000)
    }

    /// A time that is given in seconds, in milliseconds.
    fn millis(&self, flag: &str, default: u64, min: u64, max: u64) -> Result<u64, Failure> {
        let Some(text) = self.typed.text(flag)? else { return Ok(default) };
        thousandths(&text).filter(|time| (min..=max).contains(time)).ok_or_else(|| {
            let shown = |millis: u64| format!("{}.{:02}", millis / 1000, millis % 1000 / 10);
            Failure::usage(format!(
                "--{flag} {text}: give a number of seconds from {} to {}",
                shown(min),
                shown(max)
            ))
        })
    }
}

fn peer(text: &str) -> Result<PeerAddr, Failure> {
    text.parse().map_err(|error| Failure::usage(format!("{text}: {error}")))
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

/// What a `ping` has seen so far; round trips in microseconds.
#[derive(Default)]
struct Tally {
    lost: u64,
    received: u64,
    total: u64,
    min: Option<u64>,
    max: Option<u64>,
}

impl Tally {
    fn sent(&self) -> u64 {
        self.lost + self.received
    }

    fn note(&mut self, answer: &Answer, output: &Output) -> Result<(), End> {
        match answer.json.get("rtt_ms").thousandths() {
            Some(rtt) => {
                self.received += 1;
                self.total = self.total.saturating_add(rtt);
                self.min = Some(self.min.map_or(rtt, |min| min.min(rtt)));
                self.max = Some(self.max.map_or(rtt, |max| max.max(rtt)));
            }
            None => self.lost += 1,
        }
        output.answer(answer)
    }

    /// A person ended it: a success if anything came back.
    fn interrupted(&self) -> Result<(), End> {
        if self.received > 0 || self.sent() == 0 {
            return Ok(());
        }
        Err(End::Failed(Failure::new(
            Kind::Timeout,
            "no answer: wrong id or network, offline, or not allowed",
        )))
    }

    fn print(&self, output: &Output) -> Result<(), End> {
        let average = self.total.checked_div(self.received);
        let shown = |micros: Option<u64>| micros.map(millis_of);
        let mut text = format!("{} sent, {} received", self.sent(), self.received);
        for (name, time) in [("min", self.min), ("average", average), ("max", self.max)] {
            if let Some(time) = shown(time) {
                text.push_str(&format!(", {name} {} ms", time.line()));
            }
        }
        let sum = object! {
            "sent": self.sent(),
            "received": self.received,
            "min_ms": shown(self.min),
            "avg_ms": shown(average),
            "max_ms": shown(self.max),
        };
        if !output.json && self.sent() == 0 {
            return Ok(());
        }
        output.either(&sum, &(text + "\n"))
    }
}
