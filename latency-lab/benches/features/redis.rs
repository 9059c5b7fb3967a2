//! The features kept in Redis the usual way: a sorted set of events per entity, one pipelined round trip per
//! event.
//!
//! ```text
//!   ZADD customer:7 <time> <time>:<transaction>:<amount>      and the same for the terminal:
//!   ZREMRANGEBYSCORE customer:7 -inf <time - 30 days>         six commands in one write,
//!   ZRANGEBYSCORE customer:7 -inf +inf                        six answers in one read
//! ```
//!
//! The server is started on a Unix socket in a temporary folder, without persistence, if there is one to start.
//!
//! Invariant: the server ends with its value; nothing of it stays.

use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pinion_schemas::records::PaymentRecord;
use tempfile::TempDir;

use crate::subjects::{DELAY_NS, Subject, WINDOWS_NS, write};

/// How long the server may take to listen.
const START_MAX: Duration = Duration::from_secs(10);

/// A server and a connection to it.
pub(crate) struct Redis {
    server: Child,
    connection: BufReader<UnixStream>,
    request: String,
    line: Vec<u8>,
    next: u64,
    pub(crate) vector: [f32; 15],
    _folder: TempDir,
}

impl Redis {
    /// Starts a server.
    ///
    /// # Errors
    /// There is no `redis-server`, or it does not listen.
    pub(crate) fn start() -> io::Result<Self> {
        let folder = tempfile::tempdir()?;
        let socket = folder.path().join("redis.sock");
        let mut server = Command::new("redis-server")
            .args(["--port", "0", "--save", "", "--appendonly", "no", "--unixsocket"])
            .arg(&socket)
            .arg("--dir")
            .arg(folder.path())
            .stdout(Stdio::null())
            .spawn()?;
        let started = Instant::now();
        let connection = loop {
            match UnixStream::connect(&socket) {
                Ok(connection) => break connection,
                Err(error) if started.elapsed() > START_MAX => {
                    end(&mut server);
                    return Err(error);
                }
                Err(_) => std::thread::sleep(Duration::from_millis(10)),
            }
        };
        Ok(Self {
            server,
            connection: BufReader::new(connection),
            request: String::new(),
            line: Vec::new(),
            next: 0,
            vector: [0.0; 15],
            _folder: folder,
        })
    }

    fn round_trip(&mut self, payment: &PaymentRecord) -> io::Result<()> {
        let now_us = payment.origin.event_ns / 1000;
        self.request.clear();
        let customer = format!("customer:{}", payment.customer);
        self.ask(&customer, now_us, payment.amount_minor, WINDOWS_NS[2] / 1000);
        let terminal = format!("terminal:{}", payment.terminal);
        self.ask(&terminal, now_us, 0, (DELAY_NS + WINDOWS_NS[2]) / 1000);
        self.next += 1;
        self.connection.get_mut().write_all(self.request.as_bytes())?;
        let slots = self.answer(now_us)?;
        self.vector[3..9].copy_from_slice(&slots);
        let slots = self.answer(now_us - DELAY_NS / 1000)?;
        self.vector[9..15].copy_from_slice(&slots);
        Ok(())
    }

    /// Adds an event, drops what expired, and asks for what is left.
    fn ask(&mut self, key: &str, now_us: i64, value: i64, reach_us: i64) {
        let member = format!("{now_us}:{}:{value}", self.next);
        command(&mut self.request, &["ZADD", key, &now_us.to_string(), &member]);
        let expired = (now_us - reach_us).to_string();
        command(&mut self.request, &["ZREMRANGEBYSCORE", key, "-inf", &expired]);
        command(&mut self.request, &["ZRANGEBYSCORE", key, "-inf", "+inf"]);
    }

    /// Count and mean of each window up to `end_us`.
    fn answer(&mut self, end_us: i64) -> io::Result<[f32; 6]> {
        self.number(b':')?;
        self.number(b':')?;
        let mut totals = [(0, 0); 3];
        for _ in 0..self.number(b'*')? {
            let (time_us, value) = self.member()?;
            for (window_ns, (count, sum)) in WINDOWS_NS.into_iter().zip(&mut totals) {
                if end_us - window_ns / 1000 < time_us && time_us <= end_us {
                    *count += 1;
                    *sum += value;
                }
            }
        }
        let mut slots = [0.0; 6];
        for ((count, sum), slots) in totals.into_iter().zip(slots.chunks_exact_mut(2)) {
            write(count, sum, slots);
        }
        Ok(slots)
    }

    /// A line with a number behind this sign.
    fn number(&mut self, sign: u8) -> io::Result<i64> {
        self.line.clear();
        self.connection.read_until(b'\n', &mut self.line)?;
        let number = self.line.strip_prefix(&[sign]).and_then(parse);
        number.ok_or_else(|| unexpected(&self.line))
    }

    /// Time (µs) and value of a member.
    fn member(&mut self) -> io::Result<(i64, i64)> {
        let len = self.number(b'$')? as usize;
        self.line.resize(len + 2, 0);
        self.connection.read_exact(&mut self.line)?;
        let mut parts = self.line.splitn(3, |byte| *byte == b':');
        let (time, value) = (parts.next().and_then(parse), parts.nth(1).and_then(parse));
        time.zip(value).ok_or_else(|| unexpected(&self.line))
    }
}

impl Subject for Redis {
    fn apply(&mut self, payment: &PaymentRecord) -> u64 {
        self.round_trip(payment).expect("the server answers");
        u64::from(self.vector[3].to_bits())
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        end(&mut self.server);
    }
}

fn end(server: &mut Child) {
    // It may have ended by itself.
    let _ = server.kill();
    let _ = server.wait();
}

/// Appends a command as the server reads it.
fn command(request: &mut String, words: &[&str]) {
    let written = write!(request, "*{}\r\n", words.len());
    let written = written.and_then(|()| {
        words
            .iter()
            .try_for_each(|word| write!(request, "${}\r\n{word}\r\n", word.len()))
    });
    written.expect("text has room");
}

fn parse(bytes: &[u8]) -> Option<i64> {
    std::str::from_utf8(bytes).ok()?.trim_end().parse().ok()
}

fn unexpected(line: &[u8]) -> io::Error {
    let line = String::from_utf8_lossy(line);
    io::Error::new(io::ErrorKind::InvalidData, format!("the server answers {line:?}"))
}
