//! Reads a configuration and collects every problem in it.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use pinhole_proto::{PeerAddr, PeerId};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::super::data::read_network_key;
use super::super::json::thousandths;
use super::super::settings::{Limits, MAX_LISTEN, Settings, listen_addr};
use super::super::state::MAX_WANTED;
use super::super::table::nearest;
use super::keys::{KEYS, Key, Shape};
use super::{Level, Place, Problem};

/// The settings of a configuration in this folder, and everything that is wrong with it.
pub(super) fn read(text: &str, folder: &Path) -> Found {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut reader = Reader { text, folder, level: Level::Error, found: Found::default() };
    for error in &errors {
        let at = error.span().map_or(0, |span| span.start);
        reader.error(at, error.message(), "see https://toml.io for how it is written");
    }
    for (name, value) in document.get_ref() {
        // What the parser made up after an error of its own is no news.
        let made_up = errors.iter().filter_map(|error| error.span()).any(|span| {
            let entry = name.span().start..=value.span().end.max(name.span().end);
            entry.contains(&span.start) || span.contains(entry.start())
        });
        if !made_up {
            reader.entry(name.get_ref(), name.span().start, value);
        }
    }
    reader.tuning(document.get_ref());
    reader.found
}

/// What a configuration says.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) settings: Settings,
    /// Where each of the peers in the settings stands.
    pub(super) places: Vec<Place>,
    /// In the order of the file.
    pub(super) problems: Vec<Problem>,
}

type Value<'i> = Spanned<DeValue<'i>>;

struct Reader<'a> {
    text: &'a str,
    folder: &'a Path,
    /// How bad an error is where we are: one in an entry of a list leaves out the entry.
    level: Level,
    found: Found,
}

impl Reader<'_> {
    fn entry(&mut self, name: &str, at: usize, value: &Value<'_>) {
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            return self.unknown(name, at, value);
        };
        let known = self.found.problems.len();
        match key.shape {
            Shape::Listen => self.listen(key, value),
            Shape::Peers => self.entries(|reader| reader.peers(key, value)),
            Shape::Allow => self.entries(|reader| reader.allow(key, value)),
            Shape::File => self.network_key(key, value),
            Shape::Switch => self.switch(key, value),
            Shape::Choice(words) => self.choice(key, words, value),
            Shape::Address => self.address(key, value),
            Shape::Number(min, max) => self.number(key, min, max, value),
            Shape::Seconds(min, max) => self.seconds(key, min, max, value),
        }
        if key.absent && self.found.problems.len() == known {
            self.absent(key, at, value);
        }
    }

    fn unknown(&mut self, name: &str, at: usize, value: &Value<'_>) {
        if matches!(value.get_ref(), DeValue::Table(_)) {
            let what = format!("there is no section `{name}`");
            return self.error(at, what, "write the keys at the top, without sections");
        }
        let spelt = name.replace('-', "_");
        let opposite = spelt.strip_prefix("no_").unwrap_or(&spelt);
        let hint = if KEYS.iter().any(|key| key.name == opposite) && opposite != spelt {
            format!("write {opposite} = false")
        } else if let Some(meant) = nearest(&spelt, KEYS.iter().map(|key| key.name)) {
            format!("did you mean `{meant}`?")
        } else {
            "`init` in an empty folder writes a file with every key".to_owned()
        };
        self.error(at, format!("there is no key `{name}`"), hint);
    }

    fn absent(&mut self, key: &Key, at: usize, value: &Value<'_>) {
        if matches!(value.get_ref(), DeValue::Boolean(false)) {
            return;
        }
        self.found.settings.absent.push(key.name);
        let what = format!("{} is not in this version", key.name);
        self.problem(Level::Note, at, what, "the node runs without it");
    }

    fn listen(&mut self, key: &Key, value: &Value<'_>) {
        for item in self.items(value) {
            let Some(text) = self.string(key, item, "an address such as \"0.0.0.0:4433\"") else {
                continue;
            };
            match listen_addr(text) {
                Ok(addr) if addr.port() != 0 && self.found.settings.listen.contains(&addr) => {
                    self.error(item.span().start, format!("{addr} stands here twice"), "keep one");
                }
                Ok(addr) => self.found.settings.listen.push(addr),
                Err(why) => self.error(item.span().start, why, "correct the address"),
            }
        }
        if self.found.settings.listen.len() > MAX_LISTEN {
            let what = format!("there are more than {MAX_LISTEN} addresses to listen on");
            self.error(value.span().start, what, "0.0.0.0 and [::] cover every address");
        }
    }

    /// One that is wrong leaves the others in.
    fn entries(&mut self, read: impl FnOnce(&mut Self)) {
        self.level = Level::Skipped;
        read(self);
        self.level = Level::Error;
    }

    fn peers(&mut self, key: &Key, value: &Value<'_>) {
        for item in self.items(value) {
            let at = item.span().start;
            let text = match item.get_ref() {
                DeValue::Table(table) => self.peer_table(at, table),
                _ => self
                    .string(key, item, "an address such as \"PEER@192.0.2.1:4433\"")
                    .map(str::to_owned),
            };
            let Some(text) = text else { continue };
            match text.parse::<PeerAddr>() {
                Ok(_) if self.found.settings.peers.len() >= MAX_WANTED => {
                    let what = format!("there are more than {MAX_WANTED} peers");
                    return self.error(at, what, "the ones before this are enough to be found");
                }
                Ok(peer) => {
                    self.found.settings.peers.push(peer);
                    self.found.places.push(position(self.text, at));
                }
                Err(error) => self.skipped(at, &text, &error.to_string()),
            }
        }
    }

    /// `{ peer = "…", address = "…" }`, as one text.
    fn peer_table(&mut self, at: usize, table: &DeTable<'_>) -> Option<String> {
        let mut peer = None;
        let mut address = None;
        for (name, value) in table {
            match (name.get_ref().as_ref(), value.get_ref()) {
                ("peer", DeValue::String(text)) => peer = Some(text.to_string()),
                ("address", DeValue::String(text)) => address = Some(text.to_string()),
                ("peer" | "address", _) => {
                    let what = format!("`{}` is no text", name.get_ref());
                    self.error(value.span().start, what, "put it in quotes");
                    return None;
                }
                (other, _) => {
                    let what = format!("a peer has no key `{other}`");
                    self.error(name.span().start, what, "it has `peer` and `address`");
                    return None;
                }
            }
        }
        match (peer, address) {
            (Some(peer), Some(address)) => Some(format!("{peer}@{address}")),
            (Some(peer), None) => Some(peer),
            (None, _) => {
                self.error(at, "the peer's id is missing", "add peer = \"pin1…\"");
                None
            }
        }
    }

    fn allow(&mut self, key: &Key, value: &Value<'_>) {
        // Even an empty or a wrong list is one: nobody is let in by a typing error.
        self.found.settings.strict = true;
        for item in self.items(value) {
            let Some(text) = self.string(key, item, "a peer id such as \"pin1…\"") else {
                continue;
            };
            match text.parse::<PeerId>() {
                Ok(peer) => self.found.settings.allow.push(peer),
                Err(error) => self.skipped(item.span().start, text, &error.to_string()),
            }
        }
    }

    fn network_key(&mut self, key: &Key, value: &Value<'_>) {
        let Some(text) = self.string(key, value, "a file name") else { return };
        let path = self.folder.join(text);
        if let Err(failure) = read_network_key(&path) {
            let what = failure.message.split("; ").next().unwrap_or_default().to_owned();
            let hint = failure.message.split_once("; ").map_or("", |(_, hint)| hint).to_owned();
            self.error(value.span().start, what, hint);
        }
        self.found.settings.network_key = Some(path);
    }

    fn switch(&mut self, key: &Key, value: &Value<'_>) {
        if !matches!(value.get_ref(), DeValue::Boolean(_)) {
            self.wrong(key, value, "true or false");
        }
    }

    fn choice(&mut self, key: &Key, words: &[&str], value: &Value<'_>) {
        match value.get_ref() {
            DeValue::String(word) if words.contains(&word.as_ref()) => {
                // The only choice that there is.
                self.found.settings.tuning.preset = word.parse().ok();
            }
            _ => self.wrong(key, value, &format!("one of \"{}\"", words.join("\", \""))),
        }
    }

    fn address(&mut self, key: &Key, value: &Value<'_>) {
        let addr = match value.get_ref() {
            DeValue::String(text) => text.parse::<SocketAddr>().ok(),
            _ => None,
        };
        match addr {
            None => self.wrong(key, value, "\"ADDR:PORT\" with an IP address"),
            Some(addr) if key.name == "metrics" => self.found.settings.metrics = Some(addr),
            Some(_) => {}
        }
    }

    fn number(&mut self, key: &Key, min: u64, max: u64, value: &Value<'_>) {
        let number = match value.get_ref() {
            DeValue::Integer(integer) => {
                u64::from_str_radix(integer.as_str(), integer.radix()).ok()
            }
            _ => None,
        };
        let Some(number) = number.filter(|number| (min..=max).contains(number)) else {
            return self.wrong(key, value, &format!("a whole number from {min} to {max}"));
        };
        if key.name == "backoff_tries" {
            self.found.settings.tuning.backoff_tries = u32::try_from(number).ok();
        } else if let Some(field) = field(&mut self.found.settings.limits, key.name) {
            *field = Some(number);
        }
    }

    fn seconds(&mut self, key: &Key, min: u64, max: u64, value: &Value<'_>) {
        let millis = match value.get_ref() {
            DeValue::Integer(integer) => thousandths(integer.as_str()),
            DeValue::Float(float) => thousandths(float.as_str()),
            _ => None,
        };
        let Some(millis) = millis.filter(|millis| (min..=max).contains(millis)) else {
            let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
            let form =
                format!("a number of seconds from {} to {}", min.as_secs_f64(), max.as_secs_f64());
            return self.wrong(key, value, &form);
        };
        let times = &mut self.found.settings.tuning.times;
        times.insert(key.name, Duration::from_millis(millis));
    }

    /// The times that contradict each other, at the first of them.
    fn tuning(&mut self, document: &DeTable<'_>) {
        let Err(rule) = self.found.settings.tuning.check() else { return };
        let times = &self.found.settings.tuning.times;
        let first = document
            .iter()
            .filter(|(name, _)| times.contains_key(name.get_ref().as_ref()))
            .map(|(name, _)| name.span().start)
            .min();
        self.error(first.unwrap_or(0), rule, "`init` in an empty folder shows the defaults");
    }

    /// The items of a list; a single value is a list of one.
    fn items<'v, 'i>(&self, value: &'v Value<'i>) -> Vec<&'v Value<'i>> {
        match value.get_ref() {
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        }
    }

    fn string<'v>(&mut self, key: &Key, value: &'v Value<'_>, form: &str) -> Option<&'v str> {
        match value.get_ref() {
            DeValue::String(text) => Some(text),
            _ => {
                self.wrong(key, value, form);
                None
            }
        }
    }

    fn wrong(&mut self, key: &Key, value: &Value<'_>, expected: &str) {
        let span = value.span();
        let shown: String = self.text.get(span.clone()).unwrap_or("").chars().take(40).collect();
        let what = format!("`{}` cannot be `{shown}`", key.name);
        self.error(span.start, what, format!("write {expected}"));
    }

    fn skipped(&mut self, at: usize, text: &str, why: &str) {
        let shown: String = text.chars().take(100).collect();
        let (why, hint) = why.split_once("; ").unwrap_or((why, "correct the entry"));
        self.error(at, format!("`{shown}`: {why}"), hint);
    }

    fn error(&mut self, at: usize, what: impl Into<String>, hint: impl Into<String>) {
        self.problem(self.level, at, what, hint);
    }

    fn problem(
        &mut self,
        level: Level,
        at: usize,
        what: impl Into<String>,
        hint: impl Into<String>,
    ) {
        let (line, column) = position(self.text, at);
        let problem = Problem { level, line, column, what: what.into(), hint: hint.into() };
        insert(&mut self.found.problems, problem);
    }
}

fn field<'a>(limits: &'a mut Limits, name: &str) -> Option<&'a mut Option<u64>> {
    match name {
        "max_connections" => Some(&mut limits.max_connections),
        "max_half_open" => Some(&mut limits.max_half_open),
        "max_streams" => Some(&mut limits.max_streams),
        "stream_window" => Some(&mut limits.stream_window),
        "connection_window" => Some(&mut limits.connection_window),
        "send_window" => Some(&mut limits.send_window),
        "dial_rate" => Some(&mut limits.dial_rate),
        "accept_rate" => Some(&mut limits.accept_rate),
        _ => None,
    }
}

/// Puts a problem where the order of the file has it; the parser's table is in another.
pub(super) fn insert(problems: &mut Vec<Problem>, problem: Problem) {
    let place = (problem.line, problem.column);
    let index = problems.partition_point(|other| (other.line, other.column) <= place);
    problems.insert(index, problem);
}

/// Line and column, in characters from 1.
fn position(text: &str, at: usize) -> Place {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}

#[cfg(test)]
#[path = "read_tests.rs"]
mod tests;
