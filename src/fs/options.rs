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

/// Declares the setters, which pass on what they are told. In the example of each there is a file
/// at `path` that holds `old`.
macro_rules! setters {
    ($($name:ident: $meaning:literal, $example:literal;)*) => {
        $(
            #[doc = $meaning]
            ///
            /// ```
            /// # cove::run(|| {
            /// use cove::fs::{self, OpenOptions};
            /// # use std::io::{Read, Write};
            #[doc = concat!("# let name = concat!(\"cove-fs-open-", stringify!($name), "-\");")]
            /// # let name = format!("{name}{}", std::process::id());
            /// # let path = std::env::temp_dir().join(name);
            /// fs::write(&path, "old")?;
            #[doc = $example]
            /// # fs::remove_file(&path)?;
            /// # Ok::<_, std::io::Error>(()) }).unwrap();
            /// ```
            pub fn $name(&mut self, yes: bool) -> &mut Self {
                self.inner.$name(yes);
                self
            }
        )*
    };
}

impl OpenOptions {
    /// Options by which nothing may be done with the file yet.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::OpenOptions;
    /// // Neither to read nor to write:
    /// assert!(OpenOptions::new().open("/proc/self/comm").is_err());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    #[allow(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> OpenOptions {
        OpenOptions { inner: std::fs::OpenOptions::new() }
    }

    setters! {
        read: "Sets whether the file may be read. Default: no, as for all of these.",
            "let file = OpenOptions::new().read(true).open(&path)?;\n\
             assert_eq!(std::io::read_to_string(file)?, \"old\");";
        write: "Sets whether the file may be written, from its start on.",
            "OpenOptions::new().write(true).open(&path)?.write_all(b\"b\")?;\n\
             assert_eq!(fs::read(&path)?, b\"bld\");";
        append: "Sets whether the file may be written, each time at its end.",
            "OpenOptions::new().append(true).open(&path)?.write_all(b\"er\")?;\n\
             assert_eq!(fs::read(&path)?, b\"older\");";
        truncate: "Sets whether the file is emptied; needs `write`.",
            "OpenOptions::new().write(true).truncate(true).open(&path)?;\n\
             assert_eq!(fs::read(&path)?, b\"\");";
        create: "Sets whether the file is made if there is none; needs `write` or `append`.",
            "fs::remove_file(&path)?;\n\
             OpenOptions::new().write(true).create(true).open(&path)?;\n\
             assert!(fs::exists(&path)?);";
        create_new: "Sets whether the file must be made, in one step: an error if there is one.",
            "let opened = OpenOptions::new().write(true).create_new(true).open(&path);\n\
             assert_eq!(opened.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);";
    }

    /// Opens the file.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::OpenOptions;
    /// let file = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    /// assert!(!file.metadata()?.is_file());
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
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
    /// One directory, with the permissions that the process's mask (umask(2)) leaves.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::{self, DirBuilder};
    /// use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
    /// # let name = format!("cove-fs-dir-builder-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// DirBuilder::new().mode(0o700).create(&path)?;
    /// assert_eq!(fs::metadata(&path)?.permissions().mode() & 0o777, 0o700);
    /// # fs::remove_dir(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    #[allow(clippy::new_without_default, reason = "as std's")]
    pub fn new() -> DirBuilder {
        DirBuilder { recursive: false, mode: None }
    }

    /// Sets whether those above it are made too, and it is no error if there is one already.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::{self, DirBuilder};
    /// # let name = format!("cove-fs-recursive-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// DirBuilder::new().recursive(true).create(path.join("some/way/down"))?;
    /// assert!(fs::exists(path.join("some/way/down"))?);
    /// # fs::remove_dir_all(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
    pub fn recursive(&mut self, recursive: bool) -> &mut Self {
        self.recursive = recursive;
        self
    }

    /// Makes the directory.
    ///
    /// ```
    /// # cove::run(|| {
    /// use cove::fs::{self, DirBuilder};
    /// # let name = format!("cove-fs-create-by-builder-{}", std::process::id());
    /// # let path = std::env::temp_dir().join(name);
    /// DirBuilder::new().create(&path)?;
    /// let error = DirBuilder::new().create(&path).unwrap_err();
    /// assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
    /// # fs::remove_dir(&path)?;
    /// # Ok::<_, std::io::Error>(()) }).unwrap();
    /// ```
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
