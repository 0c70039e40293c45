//! State files: versioned text, replaced atomically, set aside when damaged.
//!
//! The first line is `pinhole NAME 1`, the last is `end`, and each line between is one entry of a
//! word and its value. A file that lacks its end was cut short.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use pinhole_node::allowlist::{Allowlist, AllowlistFull, Mode};
use pinhole_proto::PeerAddr;

use super::data::{Folder, read_text, replace};
use super::failure::{Failure, Kind};

/// What was read, and what has to be told about it.
#[derive(Debug)]
pub(crate) struct Loaded<T> {
    pub(crate) value: T,
    /// The file was damaged: what is wrong, where it lies now, and what follows.
    pub(crate) trouble: Option<String>,
}

/// Reads the allowlist.
///
/// A damaged one is set aside, and a strict one that names nobody takes its place: whoever was
/// denied stays out.
pub(crate) fn load_allowlist(folder: &Folder) -> Result<Loaded<Allowlist>, Failure> {
    let path = folder.file(ALLOWLIST);
    let loaded = load(&path, ALLOWLIST, parse_allowlist)?;
    let Some(trouble) = loaded.trouble else {
        return Ok(Loaded { value: loaded.value.unwrap_or_default(), trouble: None });
    };
    let strict = Allowlist::new(Mode::Strict);
    save_allowlist(folder, &strict)?;
    Ok(Loaded {
        value: strict,
        trouble: Some(format!(
            "{trouble}; until you mend it, nobody is let in whom neither the configuration nor \
             `allow PEER` names; `allow --mode open` lets everybody in"
        )),
    })
}

/// Reads the allowlist without mending anything; `None` if it cannot be read.
pub(crate) fn peek_allowlist(folder: &Folder) -> Option<Allowlist> {
    match read_text(&folder.file(ALLOWLIST)) {
        Ok(None) => Some(Allowlist::default()),
        Ok(Some(text)) => entries(&text, ALLOWLIST).and_then(|all| parse_allowlist(&all)).ok(),
        Err(_) => None,
    }
}

/// Writes the allowlist.
pub(crate) fn save_allowlist(folder: &Folder, list: &Allowlist) -> Result<(), Failure> {
    let mut lines = vec![format!("mode {}", list.mode())];
    lines.extend(list.allowed().map(|peer| format!("allow {peer}")));
    lines.extend(list.denied().map(|peer| format!("deny {peer}")));
    lines.extend(list.learned().map(|peer| format!("learned {peer}")));
    save(&folder.file(ALLOWLIST), ALLOWLIST, &lines)
}

/// Adds newcomers of mode learn to the stored allowlist.
pub(crate) fn add_newcomers(
    folder: &Folder,
    newcomers: &[pinhole_proto::PeerId],
) -> Result<(), Failure> {
    let before = load_allowlist(folder)?.value;
    let mut list = before.clone();
    newcomers.iter().for_each(|peer| learn(&mut list, *peer));
    if list == before { Ok(()) } else { save_allowlist(folder, &list) }
}

/// Reads the peers that this node was told to keep.
///
/// A damaged file is set aside; what can still be read of it is kept, since every id in it has a
/// checksum.
pub(crate) fn load_wanted(folder: &Folder) -> Result<Loaded<Vec<PeerAddr>>, Failure> {
    let path = folder.file(PEERS);
    // Before it is set aside, if it is.
    let text = read_text(&path);
    let loaded = load(&path, PEERS, parse_wanted)?;
    let Some(trouble) = loaded.trouble else {
        return Ok(Loaded { value: loaded.value.unwrap_or_default(), trouble: None });
    };
    let readable = text.ok().flatten().map_or_else(Vec::new, |text| readable_wanted(&text));
    save_wanted(folder, &readable)?;
    let trouble = Some(match readable.len() {
        0 => format!(
            "{trouble}; the peers that `connect` added are forgotten, so connect them again"
        ),
        kept => format!("{trouble}; {kept} of the peers in it could be read and are kept"),
    });
    Ok(Loaded { value: readable, trouble })
}

/// Writes the peers that this node was told to keep.
pub(crate) fn save_wanted(folder: &Folder, peers: &[PeerAddr]) -> Result<(), Failure> {
    let lines: Vec<String> = peers.iter().map(|peer| format!("want {peer}")).collect();
    save(&folder.file(PEERS), PEERS, &lines)
}

/// What is stored of the handshake counter. SPEC §5.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counter {
    /// The node ended cleanly, and this was the last value that it used.
    Used(u64),
    /// The node runs, or was killed; it used no greater value than this.
    Reserved(u64),
}

/// Reads what is stored of the handshake counter.
pub(crate) fn load_counter(folder: &Folder) -> Result<Loaded<Counter>, Failure> {
    let parse = |entries: &[Entry<'_>]| {
        let [entry] = entries else { return Err("it has to hold one entry".to_owned()) };
        match entry.word {
            "used" => entry.parsed().map(Counter::Used),
            "reserved" => entry.parsed().map(Counter::Reserved),
            _ => Err(entry.unknown()),
        }
    };
    let loaded = load(&folder.file(COUNTER), COUNTER, parse)?;
    let trouble = loaded.trouble.map(|trouble| {
        format!("{trouble}; if this machine's clock is behind, peers stay silent until it is right")
    });
    Ok(Loaded { value: loaded.value.unwrap_or(Counter::Used(0)), trouble })
}

/// Stores the handshake counter.
pub(crate) fn save_counter(folder: &Folder, counter: Counter) -> Result<(), Failure> {
    let entry = match counter {
        Counter::Used(value) => format!("used {value}"),
        Counter::Reserved(value) => format!("reserved {value}"),
    };
    save(&folder.file(COUNTER), COUNTER, &[entry])
}

const COUNTER: &str = "counter";
const ALLOWLIST: &str = "allowlist";
const PEERS: &str = "peers";
const VERSION: u32 = 1;
/// More wanted peers than this are not kept.
pub(crate) const MAX_WANTED: usize = 1_000;

/// A line of a state file.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    /// From 1.
    line: usize,
    word: &'a str,
    value: &'a str,
}

impl Entry<'_> {
    /// The value, parsed, or where it stands and what is wrong with it.
    fn parsed<T>(&self) -> Result<T, String>
    where
        T: std::str::FromStr,
        T::Err: std::fmt::Display,
    {
        self.value.parse().map_err(|error| self.wrong(format!("`{:.100}`: {error}", self.value)))
    }

    fn unknown(&self) -> String {
        self.wrong(format!("there is no entry `{:.30}`", self.word))
    }

    fn wrong(&self, why: String) -> String {
        format!("line {}: {why}", self.line)
    }
}

fn parse_allowlist(entries: &[Entry<'_>]) -> Result<Allowlist, String> {
    let mut list = Allowlist::default();
    let full = |error: AllowlistFull| error.to_string();
    for entry in entries {
        match entry.word {
            "mode" => {
                list.handle_mode(entry.parsed()?);
            }
            "allow" => list.handle_allow(entry.parsed()?).map(drop).map_err(full)?,
            "deny" => list.handle_deny(entry.parsed()?).map(drop).map_err(full)?,
            "learned" => learn(&mut list, entry.parsed()?),
            _ => return Err(entry.unknown()),
        }
    }
    Ok(list)
}

/// The list takes newcomers in mode learn only; they outlast a change of the mode.
fn learn(list: &mut Allowlist, peer: pinhole_proto::PeerId) {
    let mode = list.mode();
    list.handle_mode(Mode::Learn);
    list.handle_connected(peer);
    list.handle_mode(mode);
}

fn parse_wanted(entries: &[Entry<'_>]) -> Result<Vec<PeerAddr>, String> {
    entries.iter().take(MAX_WANTED).map(wanted).collect()
}

fn wanted(entry: &Entry<'_>) -> Result<PeerAddr, String> {
    match entry.word {
        "want" => entry.parsed(),
        _ => Err(entry.unknown()),
    }
}

/// The entries of a damaged file that are whole.
fn readable_wanted(text: &str) -> Vec<PeerAddr> {
    // Of a port that was cut short, another one would be left.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    let entries = whole.lines().enumerate().filter_map(|(index, line)| entry(index, line).ok());
    entries.filter_map(|entry| wanted(&entry).ok()).take(MAX_WANTED).collect()
}

fn load<T>(
    path: &Path,
    name: &str,
    parse: impl FnOnce(&[Entry<'_>]) -> Result<T, String>,
) -> Result<Loaded<Option<T>>, Failure> {
    let text = match read_text(path) {
        Ok(None) => return Ok(Loaded { value: None, trouble: None }),
        Ok(Some(text)) => text,
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            return set_aside(path, &error.to_string());
        }
        Err(error) => return Err(Failure::io(format!("cannot read {}", path.display()), &error)),
    };
    if let Some(version) = newer(&text, name) {
        return Err(Failure::new(
            Kind::Damaged,
            format!(
                "{} was written by a newer pinhole (its format is {version}, ours {VERSION}); \
                 run that one, or move the file away",
                path.display()
            ),
        ));
    }
    match entries(&text, name).and_then(|entries| parse(&entries)) {
        Ok(value) => Ok(Loaded { value: Some(value), trouble: None }),
        Err(why) => set_aside(path, &why),
    }
}

fn newer(text: &str, name: &str) -> Option<u32> {
    let version = text.lines().next()?.strip_prefix("pinhole ")?.strip_prefix(name)?.trim();
    version.parse().ok().filter(|version| *version > VERSION)
}

fn entries<'a>(text: &'a str, name: &str) -> Result<Vec<Entry<'a>>, String> {
    let mut lines: Vec<&str> = text.lines().collect();
    if lines.first().copied() != Some(format!("pinhole {name} {VERSION}").as_str()) {
        return Err("its first line is not ours".to_owned());
    }
    if lines.pop() != Some("end") {
        return Err("it was cut short (the line `end` is missing)".to_owned());
    }
    lines.iter().enumerate().skip(1).map(|(index, line)| entry(index, line)).collect()
}

fn entry(index: usize, text: &str) -> Result<Entry<'_>, String> {
    let line = index + 1;
    text.split_once(' ')
        .map(|(word, value)| Entry { line, word, value })
        .ok_or_else(|| format!("line {line}: `{text:.60}` is no entry"))
}

fn set_aside<T>(path: &Path, why: &str) -> Result<Loaded<Option<T>>, Failure> {
    let aside = aside_name(path);
    fs::rename(path, &aside).map_err(|error| {
        Failure::io(format!("cannot set the damaged {} aside", path.display()), &error)
    })?;
    let trouble =
        format!("{} is damaged ({why}) and was set aside as {}", path.display(), aside.display());
    Ok(Loaded { value: None, trouble: Some(trouble) })
}

/// `NAME.damaged-UNIXTIME`, with the next free number if two are set aside within a second.
fn aside_name(path: &Path) -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a shell names a file by the time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let name = |suffix: &str| path.with_extension(format!("damaged-{now}{suffix}"));
    let mut aside = name("");
    for number in 1.. {
        if !aside.exists() {
            break;
        }
        aside = name(&format!("-{number}"));
    }
    aside
}

fn save(path: &Path, name: &str, lines: &[String]) -> Result<(), Failure> {
    let mut text = format!("pinhole {name} {VERSION}\n");
    for line in lines {
        text.push_str(line);
        text.push('\n');
    }
    text.push_str("end\n");
    replace(path, text.as_bytes())
        .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::TempDir;
    use pinhole_proto::{PeerId, SecretKey};

    fn folder(temp: &TempDir) -> Folder {
        Folder::locate(Some(temp.path().to_owned())).unwrap()
    }

    fn peer(first: u8) -> PeerId {
        let mut byte = first;
        let key = SecretKey::generate(|seed| {
            seed.fill(byte);
            byte = byte.wrapping_add(101);
        });
        key.peer_id()
    }

    #[test]
    fn an_allowlist_comes_back_as_it_was() {
        let temp = TempDir::new();
        let folder = folder(&temp);
        assert_eq!(load_allowlist(&folder).unwrap().value, Allowlist::default());
        let mut list = Allowlist::new(Mode::Learn);
        list.handle_connected(peer(3));
        list.handle_allow(peer(1)).unwrap();
        list.handle_deny(peer(1)).unwrap();
        list.handle_deny(peer(2)).unwrap();
        for mode in [Mode::Learn, Mode::Strict, Mode::Open] {
            list.handle_mode(mode);
            save_allowlist(&folder, &list).unwrap();
            let loaded = load_allowlist(&folder).unwrap();
            assert_eq!(loaded.value, list);
            assert!(loaded.trouble.is_none());
        }
    }

    #[test]
    fn a_damaged_allowlist_is_set_aside_and_nobody_gets_in_by_it() {
        let temp = TempDir::new();
        let folder = folder(&temp);
        let cut = format!("pinhole allowlist 1\nmode open\ndeny {}\n", peer(1));
        for text in ["", "garbage", &cut, "pinhole allowlist 1\nmode loose\nend\n", "\u{0}"] {
            fs::write(folder.file(ALLOWLIST), text).unwrap();
            let loaded = load_allowlist(&folder).unwrap();
            assert_eq!(loaded.value, Allowlist::new(Mode::Strict), "{text:?}");
            assert!(loaded.trouble.unwrap().contains(".damaged-"), "{text:?}");
            let again = load_allowlist(&folder).unwrap();
            assert_eq!(again.value.mode(), Mode::Strict, "a restart does not open it");
            assert!(again.trouble.is_none());
        }
        let kept = fs::read_dir(temp.path()).unwrap().filter(|entry| {
            entry.as_ref().unwrap().file_name().to_string_lossy().contains(".damaged-")
        });
        assert_eq!(kept.count(), 5, "each is kept");
    }

    #[test]
    fn what_is_wrong_with_an_id_is_told_with_its_line() {
        let temp = TempDir::new();
        let folder = folder(&temp);
        let list = format!("pinhole allowlist 1\nmode open\nallow {}x\nend\n", peer(1));
        fs::write(folder.file(ALLOWLIST), list).unwrap();
        assert_eq!(peek_allowlist(&folder), None);
        let trouble = load_allowlist(&folder).unwrap().trouble.unwrap();
        assert!(trouble.contains("line 3: `pin1") && trouble.contains("63"), "{trouble}");
        assert_eq!(peek_allowlist(&folder), Some(Allowlist::new(Mode::Strict)));
    }

    #[test]
    fn the_counter_comes_back() {
        let temp = TempDir::new();
        let folder = folder(&temp);
        assert_eq!(load_counter(&folder).unwrap().value, Counter::Used(0));
        for counter in [Counter::Used(7), Counter::Reserved(u64::MAX)] {
            save_counter(&folder, counter).unwrap();
            assert_eq!(load_counter(&folder).unwrap().value, counter);
        }
        fs::write(folder.file(COUNTER), "pinhole counter 1\nused -1\nend\n").unwrap();
        let loaded = load_counter(&folder).unwrap();
        assert_eq!(loaded.value, Counter::Used(0));
        assert!(loaded.trouble.unwrap().contains("clock"));
    }

    #[test]
    fn a_newer_format_is_left_alone() {
        let temp = TempDir::new();
        let folder = folder(&temp);
        fs::write(folder.file(ALLOWLIST), "pinhole allowlist 2\nwhatever\n").unwrap();
        let failure = load_allowlist(&folder).unwrap_err();
        assert!(failure.message.contains("newer pinhole"), "{failure}");
        assert!(folder.file(ALLOWLIST).exists());
    }

    #[test]
    fn wanted_peers_come_back_and_damage_is_told() {
        let temp = TempDir::new();
        let folder = folder(&temp);
        let wanted = vec![
            PeerAddr::from_id(peer(1)),
            format!("{}@192.0.2.1:4433,[2001:db8::1]:4433", peer(2)).parse().unwrap(),
        ];
        save_wanted(&folder, &wanted).unwrap();
        assert_eq!(load_wanted(&folder).unwrap().value, wanted);
        let some = format!(
            "pinhole peers 1\nwant pin1x\nwant {}\nwant {}@192.0.2.1:44",
            wanted[1],
            peer(3)
        );
        fs::write(folder.file(PEERS), some).unwrap();
        let loaded = load_wanted(&folder).unwrap();
        assert_eq!(loaded.value, wanted[1..], "what is whole is kept");
        assert!(loaded.trouble.unwrap().contains("1 of the peers in it could be read"));
        assert_eq!(load_wanted(&folder).unwrap().value, wanted[1..]);
        fs::write(folder.file(PEERS), "pinhole peers 1\nwant pin1nobody\nend\n").unwrap();
        let loaded = load_wanted(&folder).unwrap();
        assert!(loaded.value.is_empty() && loaded.trouble.unwrap().contains("connect them again"));
    }
}
