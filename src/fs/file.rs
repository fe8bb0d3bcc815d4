//! An open file.
//!
//! The descriptor is shared, by an `Arc`, with the operation that a thread of the pool has in hand:
//! so one that a cancelled coroutine left behind does not meet a closed descriptor, or somebody
//! else's under the same number.

use super::{CHUNK_BYTES, FileTimes, Metadata, OpenOptions, Permissions};
use crate::sys;
use crate::task::blocking_io;
use std::io::{self, IoSlice, IoSliceMut, Read, Seek, SeekFrom, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

/// An open file; [`std::fs::File`] for coroutines. It is closed when it is dropped.
///
/// A read or write moves a mebibyte at most; `read_to_end` and `write_all` go on by themselves. See
/// the [module](super) on cancelling and deadlines. `std::os::unix::fs::FileExt` (`read_at`,
/// `write_at`) is there too.
///
/// ```
/// use cove::fs::File;
/// use std::io::{Read, Seek, Write};
/// # fn main() -> std::io::Result<()> {
/// # let path = std::env::temp_dir().join(format!("cove-file-{}", std::process::id()));
/// cove::run(|| {
///     let mut file = File::options().read(true).write(true).create_new(true).open(&path)?;
///     file.write_all(b"some bytes")?;
///     file.rewind()?;
///     let mut text = String::new();
///     file.read_to_string(&mut text)?;
///     assert_eq!(text, "some bytes");
///     cove::fs::remove_file(&path)
/// })
/// # }
/// ```
#[derive(Debug)]
pub struct File {
    pub(super) inner: Arc<std::fs::File>,
}

impl File {
    /// Opens a file to read it.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// let comm = std::io::read_to_string(File::open("/proc/self/comm")?)?;
    /// assert!(comm.ends_with('\n'));
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`std::fs::File::open`]; every method here has the errors of std's, and `TimedOut`.
    pub fn open<P: AsRef<Path>>(path: P) -> io::Result<File> {
        File::options().read(true).open(path)
    }

    /// Opens a file to write it, made if there is none, emptied if there is one.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// use std::io::Write;
    /// # let name = format!("cove-fs-create-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// File::create(&path)?.write_all(b"a long text")?;
    /// File::create(&path)?.write_all(b"a text")?;
    /// assert_eq!(cove::fs::read(&path)?, b"a text");
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn create<P: AsRef<Path>>(path: P) -> io::Result<File> {
        File::options().write(true).create(true).truncate(true).open(path)
    }

    /// Makes a file to read and write.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// # let name = format!("cove-fs-create-new-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let file = File::create_new(&path)?;
    /// let error = File::create_new(&path).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's; `AlreadyExists` if there is one.
    pub fn create_new<P: AsRef<Path>>(path: P) -> io::Result<File> {
        File::options().read(true).write(true).create_new(true).open(path)
    }

    /// Options for another way to open.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// use std::io::Write;
    /// # let name = format!("cove-fs-file-options-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// File::options().append(true).create(true).open(&path)?.write_all(b"one ")?;
    /// File::options().append(true).create(true).open(&path)?.write_all(b"two")?;
    /// assert_eq!(cove::fs::read(&path)?, b"one two");
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn options() -> OpenOptions {
        OpenOptions::new()
    }

    /// Waits until contents and metadata are on the disk: fsync(2).
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// use std::io::Write;
    /// # let name = format!("cove-fs-sync-all-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let mut file = File::create(&path)?;
    /// file.write_all(b"to be kept")?;
    /// file.sync_all()?; // A power failure from here on does not lose it.
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn sync_all(&self) -> io::Result<()> {
        self.run(std::fs::File::sync_all)
    }

    /// Waits until the contents are on the disk: fdatasync(2).
    /// See [`sync_all`](Self::sync_all) for an example.
    ///
    /// # Errors
    /// As std's.
    pub fn sync_data(&self) -> io::Result<()> {
        self.run(std::fs::File::sync_data)
    }

    /// Cuts the file off at `size` bytes, or fills it up with zeroes.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// # let name = format!("cove-fs-set-len-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let file = File::create(&path)?;
    /// file.set_len(4)?;
    /// assert_eq!(cove::fs::read(&path)?, [0; 4]);
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn set_len(&self, size: u64) -> io::Result<()> {
        self.run(move |file| file.set_len(size))
    }

    /// What the system knows of the file.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// assert!(File::open("/proc/self/comm")?.metadata()?.is_file());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.run(std::fs::File::metadata)
    }

    /// Changes the permissions.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::{File, Permissions};
    /// use std::os::unix::fs::PermissionsExt;
    /// # let name = format!("cove-fs-file-permissions-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let file = File::create(&path)?;
    /// file.set_permissions(Permissions::from_mode(0o600))?;
    /// assert_eq!(file.metadata()?.permissions().mode() & 0o777, 0o600);
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn set_permissions(&self, permissions: Permissions) -> io::Result<()> {
        self.run(move |file| file.set_permissions(permissions))
    }

    /// Changes the times of access and modification.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::{File, FileTimes};
    /// use std::time::SystemTime;
    /// # let name = format!("cove-fs-set-times-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let file = File::create(&path)?;
    /// file.set_times(FileTimes::new().set_accessed(SystemTime::UNIX_EPOCH))?;
    /// assert_eq!(file.metadata()?.accessed()?, SystemTime::UNIX_EPOCH);
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn set_times(&self, times: FileTimes) -> io::Result<()> {
        self.run(move |file| file.set_times(times))
    }

    /// Changes the time of modification.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// use std::time::SystemTime;
    /// # let name = format!("cove-fs-set-modified-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let file = File::create(&path)?;
    /// file.set_modified(SystemTime::UNIX_EPOCH)?;
    /// assert_eq!(file.metadata()?.modified()?, SystemTime::UNIX_EPOCH);
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn set_modified(&self, time: SystemTime) -> io::Result<()> {
        self.set_times(FileTimes::new().set_modified(time))
    }

    /// Another descriptor of the same open file, which shares its position.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::File;
    /// use std::io::Write;
    /// # let name = format!("cove-fs-try-clone-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// let mut file = File::create(&path)?;
    /// file.try_clone()?.write_all(b"one ")?;
    /// file.write_all(b"two")?; // Goes on where the clone has stopped.
    /// assert_eq!(cove::fs::read(&path)?, b"one two");
    /// # cove::fs::remove_file(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's.
    pub fn try_clone(&self) -> io::Result<File> {
        self.inner.try_clone().map(File::from)
    }

    /// Runs `operation` on the pool.
    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&std::fs::File) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = self.inner.clone();
        blocking_io(move || operation(&inner))
    }

    /// Reads from the page cache, and if nothing is there, by `operation` on the pool.
    fn read_by(
        &self,
        buffer: &mut [u8],
        offset: Option<u64>,
        operation: impl FnOnce(&std::fs::File, &mut [u8]) -> io::Result<usize> + Send + 'static,
    ) -> io::Result<usize> {
        let bytes = buffer.len().min(CHUNK_BYTES);
        let buffer = &mut buffer[..bytes];
        // An operation that was left behind holds the lock of the position while it reads.
        if offset.is_some() || self.is_idle() {
            // An error may have reasons of its own (no such call here), and 0 may not be the end.
            if let Ok(count @ 1..) = sys::file::read_cached(self.as_raw_fd(), buffer, offset) {
                return Ok(count);
            }
        }
        let (filled, count) = self.run(move |file| {
            let mut owned = vec![0; bytes];
            let count = operation(file, &mut owned)?;
            Ok((owned, count))
        })?;
        buffer[..count].copy_from_slice(&filled[..count]);
        Ok(count)
    }

    /// Whether no operation is in hand.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.inner) == 1
    }

    /// Reads the rest of the file. The bytes before an error come with it.
    fn rest(&self) -> io::Result<(Vec<u8>, io::Result<usize>)> {
        self.run(|mut file| {
            let mut bytes = Vec::new();
            let outcome = file.read_to_end(&mut bytes);
            Ok((bytes, outcome))
        })
    }
}

impl Read for &File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read_by(buffer, None, |mut file, buffer| file.read(buffer))
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        let bytes: usize = parts.iter().map(|part| part.len()).sum();
        let mut joined = vec![0; bytes.min(CHUNK_BYTES)];
        let count = self.read(&mut joined)?;
        let mut rest = &joined[..count];
        for part in parts {
            let (of_part, behind) = rest.split_at(part.len().min(rest.len()));
            part[..of_part.len()].copy_from_slice(of_part);
            rest = behind;
        }
        Ok(count)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        let (bytes, outcome) = self.rest()?;
        if buffer.is_empty() {
            *buffer = bytes;
        } else {
            buffer.extend_from_slice(&bytes);
        }
        outcome
    }

    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        let (bytes, outcome) = self.rest()?;
        match std::str::from_utf8(&bytes) {
            Ok(text) => buffer.push_str(text),
            Err(error) => return outcome.and(Err(invalid(error))),
        }
        outcome
    }
}

fn invalid(error: std::str::Utf8Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

impl Write for &File {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        let owned = buffer[..buffer.len().min(CHUNK_BYTES)].to_vec();
        self.run(move |mut file| file.write(&owned))
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut owned = Vec::new();
        for part in parts {
            let room = CHUNK_BYTES - owned.len();
            owned.extend_from_slice(&part[..part.len().min(room)]);
        }
        self.run(move |mut file| file.write(&owned))
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for &File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        if self.is_idle() {
            // Only counts: nothing to wait for.
            return (&*self.inner).seek(position);
        }
        self.run(move |mut file| file.seek(position))
    }
}

impl Read for File {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }

    fn read_vectored(&mut self, parts: &mut [IoSliceMut<'_>]) -> io::Result<usize> {
        (&*self).read_vectored(parts)
    }

    fn read_to_end(&mut self, buffer: &mut Vec<u8>) -> io::Result<usize> {
        (&*self).read_to_end(buffer)
    }

    fn read_to_string(&mut self, buffer: &mut String) -> io::Result<usize> {
        (&*self).read_to_string(buffer)
    }
}

impl Write for File {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        (&*self).write(buffer)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        (&*self).write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for File {
    fn seek(&mut self, position: SeekFrom) -> io::Result<u64> {
        (&*self).seek(position)
    }
}

impl FileExt for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.read_by(buffer, Some(offset), move |file, buffer| file.read_at(buffer, offset))
    }

    fn write_at(&self, buffer: &[u8], offset: u64) -> io::Result<usize> {
        let owned = buffer[..buffer.len().min(CHUNK_BYTES)].to_vec();
        self.run(move |file| file.write_at(&owned, offset))
    }
}

impl From<std::fs::File> for File {
    fn from(file: std::fs::File) -> File {
        File { inner: Arc::new(file) }
    }
}

impl From<OwnedFd> for File {
    fn from(fd: OwnedFd) -> File {
        File::from(std::fs::File::from(fd))
    }
}

impl AsFd for File {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.inner.as_fd()
    }
}

impl AsRawFd for File {
    fn as_raw_fd(&self) -> RawFd {
        self.inner.as_raw_fd()
    }
}
