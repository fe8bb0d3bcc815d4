//! Reading a file only as far as the page cache has it.

use super::cvt_count;
use std::io;
use std::os::fd::RawFd;

/// Reads into `buffer` without waiting for the disk: at `offset`, or at the file's position, which
/// then moves on.
///
/// 0 is not sure to be the end of the file: Linux 5.9 and 5.10 return it for other reasons
/// (readv(2), BUGS).
///
/// # Errors
/// `WouldBlock` if nothing of it is in the cache; EOPNOTSUPP on file systems that cannot tell; any
/// other that read(2) has.
pub(crate) fn read_cached(fd: RawFd, buffer: &mut [u8], offset: Option<u64>) -> io::Result<usize> {
    let part = libc::iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() };
    // The kernel takes the offset in two words, of which the first holds all on 64 bits; -1 stands
    // for the position.
    let (low, high) = match offset {
        Some(offset) => match libc::c_long::try_from(offset) {
            Ok(offset) => (offset, 0),
            Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        },
        None => (-1, -1),
    };
    let (count, flags) = (1 as libc::c_long, libc::c_long::from(libc::RWF_NOWAIT));
    // SAFETY: one part, whose memory is writable for its length. By number, since not every libc
    // has the name.
    let read = unsafe {
        libc::syscall(
            libc::SYS_preadv2,
            libc::c_long::from(fd),
            &raw const part,
            count,
            low,
            high,
            flags,
        )
    };
    cvt_count(read as isize)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};
    use std::os::fd::AsRawFd;

    #[test]
    fn cached_bytes_are_read_at_the_position_or_an_offset() {
        // Goal: both forms of the call, or an honest refusal. Method: a file just written, which is
        // in the cache.
        let path = std::env::temp_dir().join(format!("cove-cached-{}", std::process::id()));
        let mut options = std::fs::File::options();
        let mut file =
            options.read(true).write(true).create(true).truncate(true).open(&path).expect("open");
        std::fs::remove_file(&path).expect("removed");
        file.write_all(b"0123456789").expect("written");
        file.rewind().expect("rewound");
        let mut bytes = [0; 4];
        match read_cached(file.as_raw_fd(), &mut bytes, Some(6)) {
            Ok(count) => assert_eq!((count, &bytes), (4, b"6789")),
            Err(error) => {
                let expected = [libc::EAGAIN, libc::EOPNOTSUPP, libc::ENOSYS, libc::EPERM];
                assert!(expected.contains(&error.raw_os_error().unwrap_or(0)), "{error}");
                return;
            }
        }
        assert_eq!(read_cached(file.as_raw_fd(), &mut bytes, None).expect("read"), 4);
        assert_eq!(&bytes, b"0123");
        let mut rest = String::new();
        file.read_to_string(&mut rest).expect("read");
        assert_eq!(rest, "456789", "the position has moved");
        let beyond = read_cached(file.as_raw_fd(), &mut bytes, Some(u64::MAX));
        assert_eq!(beyond.expect_err("beyond").kind(), io::ErrorKind::InvalidInput);
    }
}
