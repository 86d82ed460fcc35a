//! Answering the system calls of another program: seccomp user notification.
//!
//! * [`Filter`] says which system calls are sent to us; [`spawn()`] starts a program under it and
//!   hands over the [`Listener`].
//! * [`Listener`] receives a [`Notification`] for each call, puts descriptors into the caller and
//!   answers.
//! * [`Task`] is the thread that makes a call: its memory and its descriptors.
//!
//! All of it needs no privilege when the program runs as the same user and may be traced (a
//! program is not while it has dropped `PR_SET_DUMPABLE`). Nothing of this is a security boundary:
//! a call that is let go on reads its arguments again, and they may have changed.
//!
//! C headers: `include/uapi/linux/seccomp.h`, `include/uapi/linux/audit.h`; behaviour read from
//! `kernel/seccomp.c` (v7.3).

mod filter;
mod listener;
mod memory;
mod spawn;
mod task;

pub use filter::{ArgTest, Filter, FilterTooLong};
pub use listener::{FdTarget, Listener, Notification, Reply};
pub use memory::Fault;
pub use spawn::{Identity, Setup, spawn};
pub use task::Task;
