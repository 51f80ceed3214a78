//! Asking the running server, from a command.

use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::request::Request;

/// The server answers from memory or from its database; longer than this it is stuck.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("no server answers at {}: {error}; is it running? (ringway run)", path.display())]
    NotRunning { path: PathBuf, error: io::Error },
    #[error("there is no admin socket to ask: the store is memory: and admin.socket is not set")]
    NoSocket,
    #[error("the server at {} stopped in the middle of its answer: {error}", path.display())]
    Broken { path: PathBuf, error: io::Error },
    #[error("{message}")]
    Refused { code: String, message: String, reply: Box<Value> },
}

/// What came back: the items, and the last line.
pub struct Reply {
    pub items: Vec<Value>,
    pub last: Value,
}

pub fn ask(socket: Option<&Path>, request: &Request) -> Result<Reply, ClientError> {
    let path = socket.ok_or(ClientError::NoSocket)?;
    let missing = |error| ClientError::NotRunning { path: path.to_owned(), error };
    let broken = |error| ClientError::Broken { path: path.to_owned(), error };
    let mut stream = UnixStream::connect(path).map_err(missing)?;
    stream.set_read_timeout(Some(PATIENCE)).map_err(broken)?;
    stream.write_all(format!("{}\n", request.to_json()).as_bytes()).map_err(broken)?;
    let mut items = Vec::new();
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(broken)?;
        let mut value: Value =
            serde_json::from_str(&line).map_err(|error| broken(io::Error::other(error)))?;
        if let Some(item) = value.get_mut("item") {
            items.push(item.take());
            continue;
        }
        if value.get("ok").and_then(Value::as_bool) == Some(true) {
            return Ok(Reply { items, last: value });
        }
        let text =
            |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        let (code, message) = (text("code"), text("error"));
        return Err(ClientError::Refused { code, message, reply: Box::new(value) });
    }
    Err(broken(io::ErrorKind::UnexpectedEof.into()))
}
