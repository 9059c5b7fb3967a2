//! Bytes and lines of a file, unpacked, with the place they stand at.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use super::error::{FileName, ImportError, Place};

/// The longest line that is read. Unit: bytes.
const LINE_LEN_MAX: u64 = 16 << 20;

/// How much is read from the file at once. Unit: bytes.
const BUFFER_LEN: usize = 1 << 16;

/// An unpacked file that is read from the beginning to the end.
pub(crate) struct Input {
    pub(crate) name: FileName,
    reader: Box<dyn BufRead>,
    offset: u64,
    line: u64,
}

impl Input {
    /// Opens a file; one that begins like a gzip file is unpacked.
    pub(crate) fn open(path: &Path) -> Result<Self, ImportError> {
        let name = FileName::new(&path.display().to_string());
        let file = File::open(path).map_err(|error| name.read(error))?;
        let mut packed = BufReader::with_capacity(BUFFER_LEN, file);
        let is_gzip = packed
            .fill_buf()
            .map_err(|error| name.read(error))?
            .starts_with(&[0x1f, 0x8b]);
        let reader: Box<dyn BufRead> = if is_gzip {
            Box::new(BufReader::with_capacity(BUFFER_LEN, MultiGzDecoder::new(packed)))
        } else {
            Box::new(packed)
        };
        Ok(Self {
            name,
            reader,
            offset: 0,
            line: 0,
        })
    }

    /// Where the next byte stands.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The line last read.
    pub(crate) fn line_place(&self) -> Place {
        Place::Line(self.line)
    }

    /// The beginning of the file, without reading past it. Up to [`BUFFER_LEN`] bytes.
    pub(crate) fn beginning(&mut self) -> Result<&[u8], ImportError> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes),
            Err(error) => Err(failed(&self.name, self.offset, error)),
        }
    }

    /// Fills `bytes`; false if the file ends just before them. If it ends within them, a bad record and the end.
    pub(crate) fn read_or_end(&mut self, bytes: &mut [u8]) -> Result<bool, ImportError> {
        let start = self.offset;
        match self.read_what_is_left(bytes)? {
            0 => Ok(bytes.is_empty()),
            len if len == bytes.len() => Ok(true),
            len => Err(self.cut_short(start, bytes.len(), len)),
        }
    }

    /// Fills `bytes` as far as the file goes and gives how far.
    pub(crate) fn read_what_is_left(&mut self, bytes: &mut [u8]) -> Result<usize, ImportError> {
        let mut filled_len = 0;
        while filled_len < bytes.len() {
            match self.reader.read(&mut bytes[filled_len..]) {
                Ok(0) => break,
                Ok(len) => filled_len += len,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(failed(&self.name, self.offset, error)),
            }
        }
        self.offset += filled_len as u64;
        Ok(filled_len)
    }

    /// Fills `bytes`, which must be there.
    pub(crate) fn read(&mut self, bytes: &mut [u8]) -> Result<(), ImportError> {
        if self.read_or_end(bytes)? {
            Ok(())
        } else {
            Err(self.cut_short(self.offset, bytes.len(), 0))
        }
    }

    /// Reads a line without its end into `line`; false at the end of the file.
    pub(crate) fn read_line(&mut self, line: &mut Vec<u8>) -> Result<bool, ImportError> {
        line.clear();
        let len = match self.reader.by_ref().take(LINE_LEN_MAX).read_until(b'\n', line) {
            Ok(0) => return Ok(false),
            Ok(len) => len as u64,
            Err(error) => return Err(failed(&self.name, self.offset, error)),
        };
        self.line += 1;
        self.offset += len;
        if line.last() != Some(&b'\n') && len == LINE_LEN_MAX {
            let found = format!("more than {LINE_LEN_MAX} bytes");
            return Err(self
                .name
                .damaged(Place::Line(self.line), found, "the end of a line"));
        }
        let end = line.len()
            - line
                .iter()
                .rev()
                .take_while(|byte| matches!(byte, b'\n' | b'\r'))
                .count();
        line.truncate(end);
        Ok(true)
    }

    /// The rest as a plain reader; places are counted no more.
    pub(crate) fn into_reader(self) -> Box<dyn BufRead> {
        self.reader
    }

    /// A record cut short by the end of the file, as recordings end that were stopped: what came before it holds.
    fn cut_short(&self, start: u64, wanted_len: usize, found_len: usize) -> ImportError {
        let found = format!("the end of the file after {found_len} bytes");
        self.name
            .bad(Place::Offset(start), found, format!("{wanted_len} bytes"))
    }
}

fn failed(name: &FileName, offset: u64, error: io::Error) -> ImportError {
    use io::ErrorKind::{InvalidData, InvalidInput, UnexpectedEof};
    match error.kind() {
        InvalidData | InvalidInput | UnexpectedEof => {
            name.damaged(Place::Offset(offset), error, "a whole gzip stream")
        }
        _ => name.read(error),
    }
}

/// Big-endian and little-endian numbers of fixed places in a record whose length was checked.
pub(crate) mod bytes {
    pub(crate) fn u16_be(bytes: &[u8], at: usize) -> u16 {
        u16::from_be_bytes(array(bytes, at))
    }

    pub(crate) fn u32_be(bytes: &[u8], at: usize) -> u32 {
        u32::from_be_bytes(array(bytes, at))
    }

    pub(crate) fn u64_be(bytes: &[u8], at: usize) -> u64 {
        u64::from_be_bytes(array(bytes, at))
    }

    /// The six-byte times of ITCH.
    pub(crate) fn u48_be(bytes: &[u8], at: usize) -> u64 {
        u64::from(u16_be(bytes, at)) << 32 | u64::from(u32_be(bytes, at + 2))
    }

    pub(crate) fn u16_le(bytes: &[u8], at: usize) -> u16 {
        u16::from_le_bytes(array(bytes, at))
    }

    pub(crate) fn u32_le(bytes: &[u8], at: usize) -> u32 {
        u32::from_le_bytes(array(bytes, at))
    }

    pub(crate) fn i64_le(bytes: &[u8], at: usize) -> i64 {
        i64::from_le_bytes(array(bytes, at))
    }

    fn array<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&bytes[at..at + N]);
        array
    }
}
