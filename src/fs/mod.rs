//! Files: [`std::fs`] for coroutines.
//!
//! The kernel knows no readiness of files, so each operation runs on the process's pool of threads
//! ([`task::blocking`](crate::task::blocking)), while only its coroutine waits. A read of what is
//! in the page cache needs no thread and is done at once. Outside a runtime all is as in std.
//!
//! # Cancelling and deadlines
//! Nothing can stop an operation that a thread has begun. A coroutine that is cancelled leaves it
//! behind, and so does one whose deadline scope ends, which gets an error of kind
//! [`TimedOut`](std::io::ErrorKind::TimedOut): the operation then takes effect or not, later. A
//! read that was left behind may still move the file's position, and a write may still write.
//!
//! No thread ever has a pointer into a coroutine's memory: bytes are copied through buffers that
//! the operation owns, of a mebibyte at most for reads and writes on a [`File`].
//!
//! A pipe, a terminal or a device that is opened as a file holds a thread of the pool for as long
//! as a read of it waits; the pool has few.
//!
//! ```
//! use cove::fs;
//! use std::io::{BufRead, BufReader, Write};
//! # fn main() -> std::io::Result<()> {
//! # let path = std::env::temp_dir().join(format!("cove-doc-{}", std::process::id()));
//! cove::run(|| {
//!     let mut file = fs::File::create(&path)?;
//!     writeln!(file, "one\ntwo")?;
//!     let lines = BufReader::new(fs::File::open(&path)?).lines();
//!     assert_eq!(lines.collect::<Result<Vec<_>, _>>()?, ["one", "two"]);
//!     fs::remove_file(&path)
//! })
//! # }
//! ```

mod dir;
mod file;
mod options;

pub use dir::{DirEntry, ReadDir, read_dir};
pub use file::File;
pub use options::{DirBuilder, OpenOptions};
pub use std::fs::{FileTimes, FileType, Metadata, Permissions};

use crate::task::blocking_io;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The most bytes that one operation on a [`File`] reads or writes: enough to make the way to the
/// pool and back small, and little enough for thousands of coroutines to read at once.
#[cfg(not(test))]
const CHUNK_BYTES: usize = 1 << 20;
#[cfg(test)]
const CHUNK_BYTES: usize = 1 << 12;

/// Runs `operation` with a copy of `path` on the pool.
fn with_path<P: AsRef<Path>, T: Send + 'static>(
    path: P,
    operation: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let path = path.as_ref().to_owned();
    blocking_io(move || operation(&path))
}

/// As [`with_path`], with two.
fn with_paths<P: AsRef<Path>, Q: AsRef<Path>, T: Send + 'static>(
    first: P,
    second: Q,
    operation: impl FnOnce(&Path, &Path) -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let second = second.as_ref().to_owned();
    with_path(first, move |first| operation(first, &second))
}

/// Reads a whole file; [`std::fs::read`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// assert_eq!(fs::read("/dev/null")?, b"");
/// assert_eq!(fs::read("/no/such/file").unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's; so it is with every function here, and `TimedOut` besides.
pub fn read<P: AsRef<Path>>(path: P) -> io::Result<Vec<u8>> {
    with_path(path, |path| std::fs::read(path))
}

/// Reads a whole file of UTF-8; [`std::fs::read_to_string`].
///
/// ```
/// let text = cove::run(|| cove::fs::read_to_string("/proc/self/comm"))?;
/// assert!(text.ends_with('\n'));
/// # Ok::<(), std::io::Error>(())
/// ```
///
/// # Errors
/// As std's.
pub fn read_to_string<P: AsRef<Path>>(path: P) -> io::Result<String> {
    with_path(path, |path| std::fs::read_to_string(path))
}

/// Makes a file, or empties it, and writes `contents`; [`std::fs::write`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-write-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::write(&path, "some text")?;
/// assert_eq!(fs::read_to_string(&path)?, "some text");
/// # fs::remove_file(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn write<P: AsRef<Path>, C: AsRef<[u8]>>(path: P, contents: C) -> io::Result<()> {
    let contents = contents.as_ref();
    if contents.len() > CHUNK_BYTES {
        return File::create(path)?.write_all(contents);
    }
    let contents = contents.to_vec();
    with_path(path, move |path| std::fs::write(path, contents))
}

/// Copies a file with its permissions, and returns how many bytes it has; [`std::fs::copy`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-copy-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// # fs::create_dir(&path)?;
/// let (from, to) = (path.join("from"), path.join("to"));
/// fs::write(&from, "text")?;
/// assert_eq!(fs::copy(&from, &to)?, 4);
/// assert_eq!(fs::read(&to)?, fs::read(&from)?);
/// # fs::remove_dir_all(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn copy<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<u64> {
    with_paths(from, to, |from, to| std::fs::copy(from, to))
}

/// Gives a file another name, in place of the file that had it; [`std::fs::rename`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-rename-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// # fs::create_dir(&path)?;
/// let (from, to) = (path.join("from"), path.join("to"));
/// fs::write(&from, "text")?;
/// fs::rename(&from, &to)?;
/// assert!(fs::exists(&to)? && !fs::exists(&from)?);
/// # fs::remove_dir_all(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn rename<P: AsRef<Path>, Q: AsRef<Path>>(from: P, to: Q) -> io::Result<()> {
    with_paths(from, to, |from, to| std::fs::rename(from, to))
}

/// Gives a file a second name; [`std::fs::hard_link`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-hard-link-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// # fs::create_dir(&path)?;
/// let (from, to) = (path.join("from"), path.join("to"));
/// fs::write(&from, "text")?;
/// fs::hard_link(&from, &to)?;
/// fs::write(&from, "changed")?;
/// assert_eq!(fs::read(&to)?, b"changed"); // One file.
/// # fs::remove_dir_all(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn hard_link<P: AsRef<Path>, Q: AsRef<Path>>(original: P, link: Q) -> io::Result<()> {
    with_paths(original, link, |original, link| std::fs::hard_link(original, link))
}

/// Removes a file; [`std::fs::remove_file`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-remove-file-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::write(&path, "text")?;
/// fs::remove_file(&path)?;
/// assert!(!fs::exists(&path)?);
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn remove_file<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_file(path))
}

/// Removes an empty directory; [`std::fs::remove_dir`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-remove-dir-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::create_dir_all(path.join("inner"))?;
/// assert!(fs::remove_dir(&path).is_err()); // It is not empty.
/// fs::remove_dir(path.join("inner"))?;
/// fs::remove_dir(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn remove_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir(path))
}

/// Removes a directory with all that is in it; [`std::fs::remove_dir_all`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-remove-dir-all-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::create_dir_all(path.join("with/all/below"))?;
/// fs::remove_dir_all(&path)?;
/// assert!(!fs::exists(&path)?);
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn remove_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with_path(path, |path| std::fs::remove_dir_all(path))
}

/// Makes a directory; [`std::fs::create_dir`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-create-dir-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::create_dir(&path)?;
/// assert!(fs::metadata(&path)?.is_dir());
/// assert!(fs::create_dir(&path).is_err()); // There is one.
/// # fs::remove_dir(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn create_dir<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with_path(path, |path| std::fs::create_dir(path))
}

/// Makes a directory and those above it that are missing; [`std::fs::create_dir_all`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// # let name = format!("cove-fs-create-dir-all-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::create_dir_all(path.join("some/way/down"))?;
/// fs::create_dir_all(path.join("some/way/down"))?; // There is one: no error.
/// # fs::remove_dir_all(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn create_dir_all<P: AsRef<Path>>(path: P) -> io::Result<()> {
    with_path(path, |path| std::fs::create_dir_all(path))
}

/// What the system knows of a file, links followed; [`std::fs::metadata`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// assert!(fs::metadata("/proc/self")?.is_dir());
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    with_path(path, |path| std::fs::metadata(path))
}

/// What the system knows of a file or link; [`std::fs::symlink_metadata`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// assert!(fs::symlink_metadata("/proc/self")?.is_symlink());
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn symlink_metadata<P: AsRef<Path>>(path: P) -> io::Result<Metadata> {
    with_path(path, |path| std::fs::symlink_metadata(path))
}

/// Changes a file's permissions; [`std::fs::set_permissions`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// use std::os::unix::fs::PermissionsExt;
/// # let name = format!("cove-fs-permissions-{}", std::process::id());
/// # let path = std::env::temp_dir().join(name);
/// fs::write(&path, "secret")?;
/// fs::set_permissions(&path, fs::Permissions::from_mode(0o400))?;
/// assert!(fs::metadata(&path)?.permissions().readonly());
/// # fs::remove_file(&path)?;
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn set_permissions<P: AsRef<Path>>(path: P, permissions: Permissions) -> io::Result<()> {
    with_path(path, move |path| std::fs::set_permissions(path, permissions))
}

/// The absolute path of a file, with no link in it; [`std::fs::canonicalize`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// let path = fs::canonicalize("/proc/self/../self")?;
/// assert_eq!(path.file_name().unwrap().to_str(), Some(&*std::process::id().to_string()));
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn canonicalize<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    with_path(path, |path| std::fs::canonicalize(path))
}

/// Where a symbolic link leads; [`std::fs::read_link`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// let number = fs::read_link("/proc/self")?;
/// assert_eq!(number.to_str(), Some(&*std::process::id().to_string()));
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's.
pub fn read_link<P: AsRef<Path>>(path: P) -> io::Result<PathBuf> {
    with_path(path, |path| std::fs::read_link(path))
}

/// Whether there is such a file, links followed; [`std::fs::exists`].
///
/// ```
/// # cove::run(|| {
/// use cove::fs;
/// assert!(fs::exists("/proc")? && !fs::exists("/no/such/file")?);
/// # Ok::<_, std::io::Error>(()) }).unwrap();
/// ```
///
/// # Errors
/// As std's: when that cannot be told.
pub fn exists<P: AsRef<Path>>(path: P) -> io::Result<bool> {
    with_path(path, |path| std::fs::exists(path))
}

#[cfg(test)]
mod tests;
