//! Hostile use: what must not hang, leak, abort or be mixed up, whatever is done to the runtime.
//!
//! | module | what is done |
//! |---|---|
//! | `waits` | nothing: the table of all kinds of wait that the others use |
//! | `cancel` | each wait ends by cancellation, by a deadline, with the runtime |
//! | `crowd` | the runtime ends with very many parked |
//! | `destructors` | destructors panic |
//! | `closing` | descriptors are closed that others wait on |
//! | `descriptors`, `memory`, `threads` | what the system gives runs out |
//! | `leaving` | bare coroutines leave the scope, runtime or thread in which they suspended |
//! | `peers` | the other side of a connection misbehaves |
//! | `small` | stacks are as small as can be, and unwind |

mod alarm;
mod cancel;
mod child;
mod closing;
mod crowd;
mod descriptors;
mod destructors;
mod holdings;
mod leaving;
mod memory;
mod peers;
mod small;
mod threads;
mod waits;
