//! The sockets, on the loopback interface.

mod tcp;
