//! Commands that need no running node: init, check, id, and the allowlist on disk.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;

use pinhole_node::allowlist::{Allowlist, AllowlistFull};

use super::config::{Config, Level, template};
use super::data::{CONNECTION_ID_KEY, Folder, NETWORK_KEY};
use super::failure::{Failure, Kind};
use super::json::{Json, object};
use super::output::{Color, End, Output};
use super::run::effective;
use super::state::{load_allowlist, peek_allowlist, save_allowlist};
pub(crate) use super::wire::Change;

/// Makes what is missing in the data folder and overwrites nothing.
pub(crate) fn init(folder: &Folder, network_key: bool, output: &Output) -> Result<(), End> {
    folder.make()?;
    let fresh = folder.peer()?.is_none();
    let key = folder.key_or_new()?;
    folder.secret_or_new(CONNECTION_ID_KEY)?;
    let drawn = network_key && folder.make_network_key()?;
    let wrote = write_template(folder)?;
    let peer = key.peer_id();
    let data = folder.path().display().to_string();
    let made = |is_new: bool| if is_new { "new" } else { "was there, left as it is" };
    let mut text = format!(
        "peer           {peer}\n\
         data folder    {data}\n\
         key            {}; keep a copy: without it this id is lost\n\
         configuration  {}\n",
        made(fresh),
        made(wrote),
    );
    if network_key {
        let path = folder.file(NETWORK_KEY);
        text.push_str(&format!(
            "network key    {}; copy {} to every member of the network, and to nobody else\n",
            made(drawn),
            path.display()
        ));
    }
    output.either(&object! { "peer": peer, "data": data }, &text)
}

/// False if there was a configuration.
fn write_template(folder: &Folder) -> Result<bool, Failure> {
    let path = folder.file(CONFIG);
    let new = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    match new {
        Ok(mut file) => file
            .write_all(template().as_bytes())
            .map(|()| true)
            .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error)),
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(Failure::io(format!("cannot write {}", path.display()), &error)),
    }
}

pub(crate) const CONFIG: &str = "config.toml";

/// Prints every problem of a configuration on this folder; fails if there is any but notes.
pub(crate) fn check(mut config: Config, folder: &Folder, output: &Output) -> Result<(), End> {
    // A key or an allowlist that cannot be read is not the configuration's fault: `up` tells of it.
    let us = folder.peer().ok().flatten();
    let list = peek_allowlist(folder).map(|list| effective(list, &config.settings));
    config.handle_doubts(us, list.as_ref());
    for problem in &config.problems {
        let (level, color) = match problem.level {
            Level::Note => ("note", Color::Warn),
            _ => ("error", Color::Bad),
        };
        let (line, column) = (problem.line, problem.column);
        let (what, hint) = (problem.what.as_str(), problem.hint.as_str());
        let text = format!(
            "{}:{line}:{column}: {}: {what}\n    {hint}\n",
            config.path.display(),
            output.paint(level, color)
        );
        let object = object! {
            "level": level, "line": line, "column": column, "what": what, "hint": hint,
        };
        output.either(&object, &text)?;
    }
    let errors = config.problems.iter().filter(|problem| problem.level != Level::Note).count();
    if errors > 0 {
        let plural = if errors == 1 { "" } else { "s" };
        return Err(End::Failed(Failure::usage(format!(
            "{errors} error{plural} in {}; correct and check again",
            config.path.display()
        ))));
    }
    if output.json {
        return Ok(());
    }
    let there = config.path.exists();
    let text = if there { "no errors" } else { "no such file, so everything has its default" };
    output.line(&format!("{}: {}", config.path.display(), output.paint(text, Color::Good)))
}

/// Prints who this folder is.
pub(crate) fn id(folder: &Folder, output: &Output) -> Result<(), End> {
    let peer = folder.peer()?.ok_or_else(|| {
        Failure::new(
            Kind::NotFound,
            format!("there is no key in {} yet; `init` makes one", folder.path().display()),
        )
    })?;
    output.either(&object! { "peer": peer }, &format!("{peer}\n"))
}

/// Changes the allowlist on disk, and shows it. The caller holds the folder. Of several changes, all
/// are made or none.
pub(crate) fn change(folder: &Folder, changes: &[Change]) -> Result<Json, Failure> {
    let loaded = load_allowlist(folder)?;
    if let Some(trouble) = loaded.trouble {
        tracing::warn!("{trouble}");
    }
    let mut list = loaded.value;
    apply(&mut list, changes)?;
    if !changes.is_empty() {
        save_allowlist(folder, &list)?;
    }
    Ok(show(&list))
}

/// Makes all changes or none.
pub(crate) fn apply(list: &mut Allowlist, changes: &[Change]) -> Result<(), Failure> {
    let mut changed = list.clone();
    for change in changes {
        apply_one(&mut changed, change)
            .map_err(|full| Failure::new(Kind::Busy, full.to_string()))?;
    }
    *list = changed;
    Ok(())
}

fn apply_one(list: &mut Allowlist, change: &Change) -> Result<(), AllowlistFull> {
    match change {
        Change::Allow(peers) => {
            peers.iter().try_for_each(|peer| list.handle_allow(*peer).map(drop))
        }
        Change::AllowLearned => list.handle_allow_learned().map(drop),
        Change::Deny(peers) => peers.iter().try_for_each(|peer| list.handle_deny(*peer).map(drop)),
        Change::Forget(peers) => {
            for peer in peers {
                list.handle_forget(peer);
            }
            Ok(())
        }
        Change::Mode(mode) => {
            list.handle_mode(*mode);
            Ok(())
        }
    }
}

/// The allowlist as an answer.
pub(crate) fn show(list: &Allowlist) -> Json {
    object! {
        "mode": list.mode().name(),
        "allowed": list.allowed().copied().collect::<Vec<_>>(),
        "denied": list.denied().copied().collect::<Vec<_>>(),
        "learned": list.learned().copied().collect::<Vec<_>>(),
    }
}
