//! The data folder: where it is, its key files, and the lock of the node that runs on it.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use pinhole_proto::{NetworkKey, PeerId, SecretKey};
use zeroize::Zeroizing;

use super::failure::{Failure, Kind};

/// A data folder, which may not exist yet.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// The folder of `--data`, or `$XDG_DATA_HOME/pinhole`, or `~/.local/share/pinhole`.
    pub(crate) fn locate(flag: Option<PathBuf>) -> Result<Self, Failure> {
        let path = match flag {
            Some(path) if path.as_os_str().is_empty() => {
                return Err(Failure::usage("--data is empty; name a folder"));
            }
            Some(path) => path,
            None => default_path().ok_or_else(|| {
                Failure::usage(
                    "there is no data folder, because neither XDG_DATA_HOME nor HOME is set; name \
                     one: --data DIR",
                )
            })?,
        };
        let path = std::path::absolute(&path)
            .map_err(|error| Failure::io(format!("data folder {}", path.display()), &error))?;
        Ok(Self { path })
    }

    /// Where the folder is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Where a file of the folder is.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Whether the folder is there.
    pub(crate) fn exists(&self) -> bool {
        self.path.is_dir()
    }

    /// Makes the folder, owner-only, if it is missing, and checks who may write to it.
    pub(crate) fn make(&self) -> Result<(), Failure> {
        let name = self.path.display();
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.path);
        made.map_err(|error| Failure::io(format!("cannot make the data folder {name}"), &error))?;
        let mode = fs::metadata(&self.path)
            .map_err(|error| Failure::io(format!("data folder {name}"), &error))?
            .mode();
        if mode & 0o022 != 0 {
            return Err(Failure::new(
                Kind::Damaged,
                format!(
                    "others may write to the data folder {name} (mode {:03o}), and could replace \
                     this node's key; look who did, then: chmod 700 {name}",
                    mode & 0o777
                ),
            ));
        }
        Ok(())
    }

    /// The identity of this folder; `None` if it has none yet.
    pub(crate) fn key(&self) -> Result<Option<SecretKey>, Failure> {
        let path = self.file(KEY);
        let Some(seed) = read_secret(&path)? else { return Ok(None) };
        SecretKey::from_seed(*seed).map(Some).map_err(|_| {
            damaged(&path, "its digits are no pinhole key (the public key's sign bit is set)")
        })
    }

    /// The identity of this folder, drawn now if it is missing. Never overwrites a key.
    pub(crate) fn key_or_new(&self) -> Result<SecretKey, Failure> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let key = SecretKey::generate(fill);
        if write_secret(&self.file(KEY), &key.seed())? {
            return Ok(key);
        }
        // Another process was quicker; its key counts.
        self.key()?.ok_or_else(|| Failure::new(Kind::Busy, "the key file vanished; try again"))
    }

    /// Who this folder is; `None` without a key.
    pub(crate) fn peer(&self) -> Result<Option<PeerId>, Failure> {
        Ok(self.key()?.map(|key| key.peer_id()))
    }

    /// 32 secret bytes under a name, drawn now if they are missing.
    pub(crate) fn secret_or_new(&self, name: &str) -> Result<[u8; 32], Failure> {
        let path = self.file(name);
        if let Some(bytes) = read_secret(&path)? {
            return Ok(*bytes);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        fill(&mut bytes);
        if write_secret(&path, &bytes)? {
            return Ok(*bytes);
        }
        let bytes = read_secret(&path)?;
        bytes.map(|bytes| *bytes).ok_or_else(|| Failure::new(Kind::Busy, "try again"))
    }

    /// The private network's key that lies in the folder, if one does.
    pub(crate) fn network_key(&self) -> Result<Option<NetworkKey>, Failure> {
        let path = self.file(NETWORK_KEY);
        if path.exists() { read_network_key(&path).map(Some) } else { Ok(None) }
    }

    /// Draws the key of a private network unless there is one; true if it was drawn.
    pub(crate) fn make_network_key(&self) -> Result<bool, Failure> {
        let path = self.file(NETWORK_KEY);
        if path.exists() {
            return read_network_key(&path).map(|_| false);
        }
        let mut bytes = Zeroizing::new([0; 32]);
        fill(&mut bytes);
        write_secret(&path, &bytes)
    }

    /// Holds the folder for this process, or says who does.
    pub(crate) fn lock(&self) -> Result<Lock, Failure> {
        let path = self.file(LOCK);
        let failed = |error: &io::Error| Failure::io(path.display(), error);
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(|error| failed(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(self.held_by(&mut file)),
            Err(TryLockError::Error(error)) => return Err(failed(&error)),
        }
        let pid = format!("{}\n", std::process::id());
        file.set_len(0)
            .and_then(|()| file.write_all(pid.as_bytes()))
            .map_err(|error| failed(&error))?;
        Ok(Lock { _file: file })
    }

    fn held_by(&self, file: &mut File) -> Failure {
        let mut text = String::new();
        // Who cannot be read is "another process".
        let _ = file.take(20).read_to_string(&mut text);
        let holder = match text.trim().parse::<u32>() {
            Ok(pid) => format!("process {pid}"),
            Err(_) => "another process".to_owned(),
        };
        let name = self.path.display();
        Failure::new(
            Kind::Busy,
            format!(
                "the data folder {name} is in use by {holder}; use that node, stop it, or give \
                 this one a folder of its own: --data DIR"
            ),
        )
    }
}

/// Proof that this process holds the data folder; let go when dropped or when the process dies.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// Reads the key of a private network.
pub(crate) fn read_network_key(path: &Path) -> Result<NetworkKey, Failure> {
    let text = read_private(path)?.ok_or_else(|| {
        Failure::new(
            Kind::NotFound,
            format!(
                "there is no network key file {}; copy it from a member of the network, or draw a \
                 new network's: init --network-key",
                path.display()
            ),
        )
    })?;
    text.parse().map_err(|error| damaged(path, &format!("{error}")))
}

const KEY: &str = "key";
pub(crate) const NETWORK_KEY: &str = "network.key";
pub(crate) const CONNECTION_ID_KEY: &str = "connection-id.key";
const LOCK: &str = "lock";

/// No file of ours is longer; what is longer is not read.
const MAX_FILE: u64 = 4 << 20;

fn default_path() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    absolute("XDG_DATA_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/share")))
        .map(|base| base.join("pinhole"))
}

fn read_secret(path: &Path) -> Result<Option<Zeroizing<[u8; 32]>>, Failure> {
    let Some(text) = read_private(path)? else { return Ok(None) };
    let key: NetworkKey = text.parse().map_err(|_| {
        damaged(path, "it has to hold one line of 64 hexadecimal digits and does not")
    })?;
    Ok(Some(Zeroizing::new(*key.as_bytes())))
}

/// Reads a file that nobody else may read; `None` if there is none.
fn read_private(path: &Path) -> Result<Option<Zeroizing<String>>, Failure> {
    let name = path.display();
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Failure::io(format!("cannot read {name}"), &error)),
    };
    let metadata = file.metadata().map_err(|error| Failure::io(&name, &error))?;
    let mode = metadata.permissions().mode();
    if mode & 0o077 != 0 {
        return Err(Failure::new(
            Kind::Damaged,
            format!(
                "others may read the secret {name} (mode {:03o}); take that right away: chmod 600 \
                 {name}; if anybody else uses this machine, move the file away, so that a new one \
                 is drawn",
                mode & 0o777
            ),
        ));
    }
    let mut text = Zeroizing::new(String::new());
    match file.take(1024).read_to_string(&mut text) {
        Ok(_) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(damaged(path, "it is not text"))
        }
        Err(error) => Err(Failure::io(format!("cannot read {name}"), &error)),
    }
}

fn damaged(path: &Path, why: &str) -> Failure {
    let name = path.display();
    let instead = match path.file_name().and_then(|name| name.to_str()) {
        Some(KEY) => "a new one is drawn, which makes this node another peer",
        Some(NETWORK_KEY) => "`init --network-key` draws a new one, which is another network",
        _ => "a new one is drawn",
    };
    Failure::new(
        Kind::Damaged,
        format!("{name} is damaged: {why}; put a copy back, or move the file away, and {instead}"),
    )
}

/// Writes a secret to a new file, owner-only; false if there is one already.
fn write_secret(path: &Path, bytes: &[u8; 32]) -> Result<bool, Failure> {
    let failed = |error: &io::Error| Failure::io(format!("cannot write {}", path.display()), error);
    // Written in full under another name first, so that a key is never half there.
    let draft = path.with_extension(format!("new-{}", std::process::id()));
    let text = Zeroizing::new(NetworkKey::from_bytes(*bytes).to_file());
    write_synced(&draft, text.as_bytes()).map_err(|error| failed(&error))?;
    let linked = fs::hard_link(&draft, path);
    fs::remove_file(&draft).map_err(|error| failed(&error))?;
    match linked {
        Ok(()) => sync_folder(path).map(|()| true).map_err(|error| failed(&error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        // A file system without hard links.
        Err(_) => match create_new(path) {
            Ok(mut file) => {
                let written = file.write_all(text.as_bytes()).and_then(|()| file.sync_all());
                written.map(|()| true).map_err(|error| failed(&error))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(failed(&error)),
        },
    }
}

/// Replaces a file so that at any moment, a crash included, either the old or the new is there.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = path.with_extension("new");
    write_synced(&draft, bytes)?;
    fs::rename(&draft, path)?;
    sync_folder(path)
}

/// Reads a bounded text file; `None` if there is none, an error if it is no text or too long.
pub(crate) fn read_text(path: &Path) -> io::Result<Option<String>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut text = String::new();
    if file.take(MAX_FILE + 1).read_to_string(&mut text)? as u64 > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "longer than 4 MiB"));
    }
    Ok(Some(text))
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    // What a killed process left under this name is nobody's.
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = create_new(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn create_new(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn fill(bytes: &mut [u8; 32]) {
    getrandom::fill(bytes).expect("the operating system has randomness once it has booted");
}

#[cfg(test)]
#[path = "data_tests.rs"]
mod tests;
