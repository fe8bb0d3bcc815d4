//! Ways to open a file and to make a directory.

use super::{File, with_path};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

/// How to open a file; [`std::fs::OpenOptions`], with `std::os::unix::fs::OpenOptionsExt`.
///
/// ```
/// use cove::fs::OpenOptions;
/// let missing = cove::run(|| OpenOptions::new().read(true).open("/no/such/file"));
/// assert_eq!(missing.unwrap_err().kind(), std::io::ErrorKind::NotFound);
/// ```
#[derive(Clone, Debug)]
pub struct OpenOptions {
    inner: std::fs::OpenOptions,
}

/// Declares the setters, which pass on what they are told.
macro_rules! setters {
    ($($name:ident: $meaning:literal;)*) => {
        $(
            #[doc = $meaning]
            pub fn $name(&mut self, yes: bool) -> &mut Self {
                self.inner.$name(yes);
                self
            }
        )*
    };
}

impl OpenOptions {
    /// Nothing allowed yet.
    #[allow(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> OpenOptions {
        OpenOptions { inner: std::fs::OpenOptions::new() }
    }

    setters! {
        read: "Whether it may be read.";
        write: "Whether it may be written.";
        append: "Whether every write goes to its end.";
        truncate: "Whether it is emptied.";
        create: "Whether it is made if there is none.";
        create_new: "Whether it must be made, in one step with the check that there is none.";
    }

    /// Opens the file.
    ///
    /// # Errors
    /// As [`std::fs::OpenOptions::open`], and `TimedOut`.
    pub fn open<P: AsRef<Path>>(&self, path: P) -> io::Result<File> {
        let options = self.inner.clone();
        with_path(path, move |path| options.open(path)).map(File::from)
    }
}

impl OpenOptionsExt for OpenOptions {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.inner.mode(mode);
        self
    }

    fn custom_flags(&mut self, flags: i32) -> &mut Self {
        self.inner.custom_flags(flags);
        self
    }
}

/// How to make a directory; [`std::fs::DirBuilder`], with `std::os::unix::fs::DirBuilderExt`.
///
/// ```
/// let directory = std::env::temp_dir();
/// cove::run(|| cove::fs::DirBuilder::new().recursive(true).create(directory))?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug)]
pub struct DirBuilder {
    recursive: bool,
    mode: Option<u32>,
}

impl DirBuilder {
    /// One directory, with the permissions that the process's mask leaves.
    #[allow(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> DirBuilder {
        DirBuilder { recursive: false, mode: None }
    }

    /// Whether those above it are made too, and it is no error if there is one already.
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Makes the directory.
    ///
    /// # Errors
    /// As [`std::fs::DirBuilder::create`], and `TimedOut`.
    pub fn create<P: AsRef<Path>>(&self, path: P) -> io::Result<()> {
        let mut builder = std::fs::DirBuilder::new();
        builder.recursive(self.recursive);
        if let Some(mode) = self.mode {
            builder.mode(mode);
        }
        with_path(path, move |path| builder.create(path))
    }
}

impl DirBuilderExt for DirBuilder {
    fn mode(&mut self, mode: u32) -> &mut Self {
        self.mode = Some(mode);
        self
    }
}
