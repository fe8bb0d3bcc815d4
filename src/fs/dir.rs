//! What is in a directory, read some entries at a time.

use super::{FileType, Metadata, with_path};
use crate::task::blocking_io;
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::vec;

/// How many entries one operation on the pool reads: about what one getdents64(2) of libc's brings.
#[cfg(not(test))]
const BATCH_MAX: usize = 512;
#[cfg(test)]
const BATCH_MAX: usize = 4;

/// Lists a directory; [`std::fs::read_dir`].
///
/// ```
/// let names = cove::run(|| {
///     cove::fs::read_dir("/proc/self")?
///         .map(|entry| entry.map(|entry| entry.file_name()))
///         .collect::<std::io::Result<Vec<_>>>()
/// })?;
/// assert!(names.contains(&"comm".into()));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As std's, and `TimedOut`.
pub fn read_dir<P: AsRef<Path>>(path: P) -> io::Result<ReadDir> {
    with_path(path, |path| next_batch(std::fs::read_dir(path)?))
}

/// The entries of a directory, an iterator; [`std::fs::ReadDir`]. After an error by time-out there
/// are no more. See [`read_dir`] for an example.
#[derive(Debug)]
pub struct ReadDir {
    /// None when all entries are in the batch, or the last read did not come back.
    rest: Option<std::fs::ReadDir>,
    batch: vec::IntoIter<io::Result<DirEntry>>,
}

fn next_batch(mut rest: std::fs::ReadDir) -> io::Result<ReadDir> {
    let entries = rest.by_ref().take(BATCH_MAX);
    let batch: Vec<_> = entries.map(|entry| entry.map(DirEntry::new)).collect();
    let rest = (batch.len() == BATCH_MAX).then_some(rest);
    Ok(ReadDir { rest, batch: batch.into_iter() })
}

impl Iterator for ReadDir {
    type Item = io::Result<DirEntry>;

    fn next(&mut self) -> Option<io::Result<DirEntry>> {
        if let Some(entry) = self.batch.next() {
            return Some(entry);
        }
        let rest = self.rest.take()?;
        match blocking_io(move || next_batch(rest)) {
            Ok(next) => *self = next,
            Err(error) => return Some(Err(error)),
        }
        self.batch.next()
    }
}

/// One entry of a directory; [`std::fs::DirEntry`].
///
/// ```
/// # cove::run(|| {
/// for entry in cove::fs::read_dir("/proc/self")? {
///     let entry = entry?;
///     if entry.file_name() == "fd" {
///         assert!(entry.file_type()?.is_dir());
///         assert_eq!(entry.path().to_str(), Some("/proc/self/fd"));
///     }
/// }
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
#[derive(Debug)]
pub struct DirEntry {
    inner: Arc<std::fs::DirEntry>,
    /// Unless it could not be told.
    file_type: Option<FileType>,
}

impl DirEntry {
    fn new(inner: std::fs::DirEntry) -> DirEntry {
        let file_type = inner.file_type().ok();
        DirEntry { inner: Arc::new(inner), file_type }
    }

    /// The path: that of the directory, as it was given, and the name.
    ///
    /// ```
    /// # cove::run(|| {
    /// let entry = cove::fs::read_dir("/proc/self/task")?.next().unwrap()?;
    /// assert!(entry.path().starts_with("/proc/self/task"));
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn path(&self) -> PathBuf {
        self.inner.path()
    }

    /// The name.
    ///
    /// ```
    /// # cove::run(|| {
    /// let entry = cove::fs::read_dir("/proc/self/task")?.next().unwrap()?;
    /// assert_eq!(Some(&*entry.file_name()), entry.path().file_name());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn file_name(&self) -> OsString {
        self.inner.file_name()
    }

    /// The number of the file's inode.
    ///
    /// ```
    /// # cove::run(|| {
    /// use std::os::unix::fs::MetadataExt;
    /// let entry = cove::fs::read_dir("/proc/self/task")?.next().unwrap()?;
    /// assert_eq!(entry.ino(), entry.metadata()?.ino());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn ino(&self) -> u64 {
        self.inner.ino()
    }

    /// What kind of file it is, links not followed. Nearly always the directory told, so that this
    /// asks nobody.
    ///
    /// ```
    /// # cove::run(|| {
    /// let entry = cove::fs::read_dir("/proc/self/task")?.next().unwrap()?;
    /// assert!(entry.file_type()?.is_dir());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's, and `TimedOut`.
    pub fn file_type(&self) -> io::Result<FileType> {
        match self.file_type {
            Some(file_type) => Ok(file_type),
            None => self.run(std::fs::DirEntry::file_type),
        }
    }

    /// What the system knows of the file, links not followed.
    ///
    /// ```
    /// # cove::run(|| {
    /// let entry = cove::fs::read_dir("/proc/self/task")?.next().unwrap()?;
    /// assert!(entry.metadata()?.is_dir());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As std's, and `TimedOut`.
    pub fn metadata(&self) -> io::Result<Metadata> {
        self.run(std::fs::DirEntry::metadata)
    }

    fn run<T: Send + 'static>(
        &self,
        operation: impl FnOnce(&std::fs::DirEntry) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let inner = self.inner.clone();
        blocking_io(move || operation(&inner))
    }
}
