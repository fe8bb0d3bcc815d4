//! The trait implementations that all sockets have alike, spelled out for each: declarations only,
//! the work is done in `socket.rs`.

/// Descriptor traits, conversions and `Debug` for a wrapper around a `Socket` of `$std`.
macro_rules! socket_traits {
    ($type:ident, $std:ty) => {
        impl std::os::fd::AsFd for $type {
            /// The descriptor, which is in non-blocking mode.
            fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
                self.socket.fd()
            }
        }

        impl std::os::fd::AsRawFd for $type {
            /// The descriptor, which is in non-blocking mode.
            fn as_raw_fd(&self) -> std::os::fd::RawFd {
                self.socket.raw()
            }
        }

        impl std::os::fd::IntoRawFd for $type {
            /// The descriptor, in blocking mode unless set otherwise.
            fn into_raw_fd(self) -> std::os::fd::RawFd {
                std::os::fd::IntoRawFd::into_raw_fd(self.socket.into_std())
            }
        }

        impl std::os::fd::FromRawFd for $type {
            /// Takes a descriptor over, and sets it to non-blocking mode.
            unsafe fn from_raw_fd(fd: std::os::fd::RawFd) -> $type {
                // SAFETY: the caller hands over an open descriptor that is theirs.
                <$type>::from(unsafe { std::os::fd::OwnedFd::from_raw_fd(fd) })
            }
        }

        impl From<std::os::fd::OwnedFd> for $type {
            /// Takes a descriptor over, and sets it to non-blocking mode.
            fn from(fd: std::os::fd::OwnedFd) -> $type {
                <$type>::from(<$std>::from(fd))
            }
        }

        impl From<$type> for std::os::fd::OwnedFd {
            /// The descriptor, in blocking mode unless set otherwise.
            fn from(socket: $type) -> std::os::fd::OwnedFd {
                socket.socket.into_std().into()
            }
        }

        impl From<$std> for $type {
            /// Takes std's socket over with its time-outs, and sets it to non-blocking mode.
            fn from(std: $std) -> $type {
                $type { socket: Socket::adopt(std) }
            }
        }

        impl From<$type> for $std {
            /// std's socket with the same time-outs, in blocking mode unless set otherwise. The
            /// mode is that of the open file: a clone that goes on in a runtime would block it.
            fn from(socket: $type) -> $std {
                socket.socket.into_std()
            }
        }

        impl std::fmt::Debug for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.socket.fmt(f)
            }
        }
    };
}

/// `Read` and `Write` for a stream and for a reference to it.
macro_rules! stream_traits {
    ($($type:ty),*) => {
        $(
            impl std::io::Read for $type {
                #[inline]
                fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
                    self.socket.read(buffer)
                }

                fn read_vectored(
                    &mut self,
                    parts: &mut [std::io::IoSliceMut<'_>],
                ) -> std::io::Result<usize> {
                    self.socket.read_vectored(parts)
                }
            }

            impl std::io::Write for $type {
                #[inline]
                fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
                    self.socket.write(bytes)
                }

                fn write_vectored(
                    &mut self,
                    parts: &[std::io::IoSlice<'_>],
                ) -> std::io::Result<usize> {
                    self.socket.write_vectored(parts)
                }

                #[inline]
                fn flush(&mut self) -> std::io::Result<()> {
                    Ok(())
                }
            }
        )*
    };
}

/// The methods that every socket has, for the `impl` of a wrapper.
///
/// Their examples begin with the code `$socket`, which declares a `socket` to which nobody sends or
/// connects; `$wait` is an expression that waits until somebody does.
macro_rules! socket_methods {
    ($socket:literal, $wait:literal) => {
        /// A second handle to the same socket, with the same time-outs and mode. It waits by
        /// itself, and may go to another thread.
        ///
        /// ```
        #[doc = $socket]
        /// let clone = socket.try_clone()?;
        /// socket.close();
        /// assert!(socket.take_error().is_err());
        /// assert!(clone.take_error()?.is_none());
        /// # Ok::<_, std::io::Error>(())
        /// ```
        ///
        /// # Errors
        /// When no descriptor is left.
        pub fn try_clone(&self) -> std::io::Result<Self> {
            Ok(Self { socket: self.socket.try_clone()? })
        }

        /// Takes the error that is pending at the socket (SO_ERROR), which then has none.
        ///
        /// ```
        #[doc = $socket]
        /// assert!(socket.take_error()?.is_none());
        /// # Ok::<_, std::io::Error>(())
        /// ```
        ///
        /// # Errors
        /// EBADF after `close`.
        pub fn take_error(&self) -> std::io::Result<Option<std::io::Error>> {
            self.socket.take_error()
        }

        /// Sets whether operations fail with `WouldBlock` where they would wait. It counts for this
        /// handle, not for its clones.
        ///
        /// ```
        #[doc = $socket]
        /// socket.set_nonblocking(true)?;
        #[doc = concat!("let error = ", $wait, ".unwrap_err();")]
        /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        /// # Ok::<_, std::io::Error>(())
        /// ```
        ///
        /// # Errors
        /// EBADF after `close`.
        pub fn set_nonblocking(&self, nonblocking: bool) -> std::io::Result<()> {
            self.socket.set_nonblocking(nonblocking)
        }

        /// Closes the socket under everybody who uses it: whoever waits on it is woken and gets an
        /// error of number EBADF, and so does every later operation. Clones are not affected.
        ///
        /// ```
        /// # cove::run(|| {
        #[doc = $socket]
        /// cove::scope(|scope| {
        #[doc = concat!("    let waiter = scope.spawn(|| ", $wait, ");")]
        ///     cove::task::yield_now();
        ///     socket.close();
        ///     let error = waiter.join().unwrap().unwrap_err();
        ///     assert_eq!(error.raw_os_error(), Some(9)); // EBADF
        /// });
        /// # Ok::<_, std::io::Error>(()) }).unwrap();
        /// ```
        pub fn close(&self) {
            self.socket.close();
        }
    };
}

/// The methods of sockets that send and receive. `$socket` is that of [`socket_methods`].
macro_rules! timeout_methods {
    ($socket:literal) => {
        /// Bounds each wait for something to receive; `None`: no bound. When it passes, the
        /// operation fails with `WouldBlock`, as std's does on Linux.
        ///
        /// ```
        /// # cove::run(|| {
        #[doc = $socket]
        /// let timeout = Some(std::time::Duration::from_millis(5));
        /// socket.set_read_timeout(timeout)?;
        /// assert_eq!(socket.read_timeout()?, timeout);
        /// let error = socket.peek(&mut [0; 1]).unwrap_err();
        /// assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
        /// # Ok::<_, std::io::Error>(()) }).unwrap();
        /// ```
        ///
        /// # Errors
        /// `InvalidInput` for a zero duration.
        pub fn set_read_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            self.socket.set_timeout(Direction::Read, timeout)
        }

        /// Bounds each wait for room to send; `None`: no bound. When it passes, the operation fails
        /// with `WouldBlock`, as std's does on Linux.
        ///
        /// ```
        #[doc = $socket]
        /// let timeout = Some(std::time::Duration::from_secs(2));
        /// socket.set_write_timeout(timeout)?;
        /// assert_eq!(socket.write_timeout()?, timeout);
        /// assert!(socket.set_write_timeout(Some(std::time::Duration::ZERO)).is_err());
        /// # Ok::<_, std::io::Error>(())
        /// ```
        ///
        /// # Errors
        /// `InvalidInput` for a zero duration.
        pub fn set_write_timeout(
            &self,
            timeout: Option<std::time::Duration>,
        ) -> std::io::Result<()> {
            self.socket.set_timeout(Direction::Write, timeout)
        }

        /// The bound of each wait for something to receive.
        /// See [`set_read_timeout`](Self::set_read_timeout) for an example.
        ///
        /// # Errors
        /// None; the signature is std's.
        pub fn read_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            Ok(self.socket.timeout(Direction::Read))
        }

        /// The bound of each wait for room to send.
        /// See [`set_write_timeout`](Self::set_write_timeout) for an example.
        ///
        /// # Errors
        /// None; the signature is std's.
        pub fn write_timeout(&self) -> std::io::Result<Option<std::time::Duration>> {
            Ok(self.socket.timeout(Direction::Write))
        }
    };
}

pub(super) use {socket_methods, socket_traits, stream_traits, timeout_methods};
