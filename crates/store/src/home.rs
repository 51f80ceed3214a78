//! `store.url` and the directory behind it: 0700, files 0600, one owner at a time. It never opens the database.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::StoreError;

/// Where the store is, as `store.url` says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Home {
    /// `file:DIR`: `DIR/ringway.db` and its companions.
    Directory(PathBuf),
    /// `memory:`: nothing outlives the process.
    Memory,
}

impl FromStr for Home {
    type Err = &'static str;

    fn from_str(url: &str) -> Result<Self, Self::Err> {
        if url == "memory:" {
            return Ok(Home::Memory);
        }
        match url.strip_prefix("file:") {
            Some("") => Err("`file:` needs a directory, as in file:./ringway-data"),
            Some(path) => Ok(Home::Directory(PathBuf::from(path))),
            None => Err("a store is file:DIR or memory:"),
        }
    }
}

impl Home {
    pub fn directory(&self) -> Option<&Path> {
        match self {
            Home::Directory(path) => Some(path),
            Home::Memory => None,
        }
    }
}

/// A data directory that is ours while this lives.
#[derive(Debug)]
pub struct Directory {
    path: PathBuf,
    created: bool,
    _lock: File,
}

impl Directory {
    /// Creates the directory if it is missing and locks it against other servers. The lock ends with the process,
    /// however it ends.
    pub fn lock(path: &Path) -> Result<Self, StoreError> {
        let failed = |error| StoreError::Directory { path: path.to_owned(), error };
        let created = !path.exists();
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let lock = private(path.join("lock")).map_err(failed)?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), created, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether this process made it.
    pub fn created(&self) -> bool {
        self.created
    }

    /// The database's path; the file exists afterwards, readable by us alone. SQLite gives its log the same mode.
    pub(crate) fn database(&self) -> Result<PathBuf, StoreError> {
        let path = self.path.join("ringway.db");
        private(path.clone())
            .map_err(|error| StoreError::Directory { path: self.path.clone(), error })?;
        Ok(path)
    }

    /// The key of the [`Seal`](sip_core::seal::Seal), made at the first start and kept: sealed routes of calls under
    /// way must still be believed after a restart.
    pub fn seal_key(&self) -> Result<[u8; 16], StoreError> {
        let path = self.path.join("seal.key");
        let failed = |error| StoreError::Directory { path: self.path.clone(), error };
        match fs::read(&path) {
            Ok(bytes) => bytes.try_into().map_err(|_| StoreError::Key { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = random_key().map_err(failed)?;
                let fresh = self.path.join("seal.key.new");
                let mut file = private(fresh.clone()).map_err(failed)?;
                file.write_all(&key).and_then(|()| file.sync_all()).map_err(failed)?;
                fs::rename(fresh, path).map_err(failed)?;
                Ok(key)
            }
            Err(error) => Err(failed(error)),
        }
    }
}

/// 16 bytes nobody can guess.
pub fn random_key() -> io::Result<[u8; 16]> {
    let mut key = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    Ok(key)
}

fn private(path: PathBuf) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}
