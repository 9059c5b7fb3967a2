//! Asks a running engine.
//!
//! Invariant: one request at a time; its last line is read before the next one is sent.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use super::{AdminError, Answer, Progress, Request, Response, SOCKET_NAME};

/// The longest path that a socket's address holds. Unit: bytes.
const ADDRESS_LEN_MAX: usize = 107;

/// A connection to an engine.
pub struct Client {
    path: PathBuf,
    stream: BufReader<UnixStream>,
}

impl Client {
    /// Connects to the engine whose folder is `engine_dir`.
    ///
    /// # Errors
    /// [`AdminError::NotRunning`].
    pub fn connect(engine_dir: &Path) -> Result<Self, AdminError> {
        let path = engine_dir.join(SOCKET_NAME);
        let stream =
            Address::of(engine_dir, SOCKET_NAME).and_then(|address| UnixStream::connect(&address.path));
        match stream {
            Ok(stream) => Ok(Self {
                path,
                stream: BufReader::new(stream),
            }),
            Err(source) => Err(AdminError::NotRunning { path, source }),
        }
    }

    /// Asks, shows progress as it comes, and returns the answer.
    ///
    /// # Errors
    /// [`AdminError::Refused`] with the engine's reason, or the connection broke.
    pub fn ask(
        &mut self,
        request: &Request,
        mut on_progress: impl FnMut(&Progress),
    ) -> Result<Answer, AdminError> {
        let mut line = serde_json::to_string(request).expect("a request has string keys alone");
        line.push('\n');
        let sent = self.stream.get_mut().write_all(line.as_bytes());
        sent.map_err(|source| self.broken(source))?;
        loop {
            match self.next_line()? {
                Response::Progress(progress) => on_progress(&progress),
                Response::Result(answer) => return Ok(answer),
                Response::Error(reason) => return Err(AdminError::Refused(reason)),
            }
        }
    }

    fn next_line(&mut self) -> Result<Response, AdminError> {
        let mut line = String::new();
        match self.stream.read_line(&mut line) {
            Ok(0) => Err(self.broken(io::Error::from(io::ErrorKind::UnexpectedEof))),
            Ok(_) => serde_json::from_str(&line).map_err(|error| AdminError::Answer {
                found: line.trim_end().to_owned(),
                reason: error.to_string(),
            }),
            Err(source) => Err(self.broken(source)),
        }
    }

    fn broken(&self, source: io::Error) -> AdminError {
        AdminError::Broken {
            path: self.path.clone(),
            source,
        }
    }
}

/// A path that fits a socket's address: a long one goes by the open folder.
pub(super) struct Address {
    pub(super) path: PathBuf,
    /// Keeps a short path to a long one valid.
    _folder: Option<File>,
}

impl Address {
    pub(super) fn of(folder: &Path, name: &str) -> io::Result<Self> {
        let path = folder.join(name);
        if path.as_os_str().len() <= ADDRESS_LEN_MAX {
            return Ok(Self { path, _folder: None });
        }
        let open = File::open(folder)?;
        Ok(Self {
            path: PathBuf::from(format!("/proc/self/fd/{}/{name}", open.as_raw_fd())),
            _folder: Some(open),
        })
    }
}
