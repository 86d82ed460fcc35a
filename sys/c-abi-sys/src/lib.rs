//! The edge between C callers and safe Rust: what a library with a C interface needs `unsafe` for, once.
//!
//! An `extern "C"` function is safe Rust as long as its parameters are: `Option<&T>` is a pointer that may be null,
//! `Option<&mut MaybeUninit<T>>` a place for a result, `Option<Box<T>>` an object that is given back (their layouts are
//! those of C pointers, `std::boxed` and `core::option`, Rust 1.95). Left are three things:
//!
//! * [`export!`] gives a function its plain name in the library;
//! * [`CText`] is a text of the caller's;
//! * [`CDescriptor`] is a descriptor of the caller's, which stays the caller's.
//!
//! The two types are parameters only: nothing but a call from C makes one, so the promise of the header, that what is
//! passed stays valid during the call, is what their proofs stand on.

#![expect(
    unsafe_code,
    reason = "a pointer and a number from C mean something only by the promise of the caller"
)]

use std::ffi::{CStr, c_char, c_int};
use std::marker::PhantomData;
use std::os::fd::BorrowedFd;
use std::str::Utf8Error;

use rustix::io::{Errno, fcntl_getfd};

/// Gives `extern "C"` functions their plain names in the library.
///
/// Every name must start with the name of the library, which no other library's does: two functions of one name in one
/// program are the danger that makes the attribute unsafe.
#[macro_export]
macro_rules! export {
    ($($(#[$meta:meta])* fn $name:ident($($parameter:ident: $kind:ty),* $(,)?) $(-> $result:ty)? $body:block)*) => {
        $(
            $(#[$meta])*
            #[doc = concat!("`", stringify!($name), "` of the library's header.")]
            // SAFETY: the name has the library's own prefix; whoever adds a function keeps to it, and the test that
            // compares the library's symbols with its header finds one that does not.
            #[unsafe(no_mangle)]
            pub extern "C" fn $name($($parameter: $kind),*) $(-> $result)? $body
        )*
    };
}

/// A text of a C caller: a pointer to bytes that end with a zero, or null.
///
/// # Invariants
/// Null, or valid for reads up to and with the first zero byte, unchanged for `'a`. Nothing in Rust makes one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct CText<'a> {
    pointer: *const c_char,
    call: PhantomData<&'a CStr>,
}

impl<'a> CText<'a> {
    /// The text; `None` for null.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn get(self) -> Result<Option<&'a str>, Utf8Error> {
        if self.pointer.is_null() {
            return Ok(None);
        }
        // SAFETY: not null, so by the invariant it points to bytes with a zero at their end, which stay as they are
        // for `'a`.
        let text = unsafe { CStr::from_ptr(self.pointer) };
        text.to_str().map(Some)
    }
}

/// A descriptor of a C caller, who keeps it.
///
/// # Invariants
/// A number that is no descriptor, or one that stays open for `'a`. Nothing in Rust makes one.
#[repr(transparent)]
#[derive(Clone, Copy, Debug)]
pub struct CDescriptor<'a> {
    number: c_int,
    call: PhantomData<BorrowedFd<'a>>,
}

impl<'a> CDescriptor<'a> {
    /// The descriptor.
    ///
    /// # Errors
    /// `EBADF`: the number is no open descriptor.
    pub fn get(self) -> Result<BorrowedFd<'a>, Errno> {
        if self.number < 0 {
            return Err(Errno::BADF);
        }
        // SAFETY: not -1, and by the invariant open for `'a`, or not a descriptor at all: that is found out next,
        // and the value is given to nobody then.
        let fd = unsafe { BorrowedFd::borrow_raw(self.number) };
        fcntl_getfd(fd).map(|_flags| fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> CText<'_> {
        assert!(bytes.is_empty() || bytes.ends_with(&[0]));
        let pointer = match bytes {
            [] => std::ptr::null(),
            bytes => bytes.as_ptr().cast(),
        };
        CText {
            pointer,
            call: PhantomData,
        }
    }

    #[test]
    fn a_text_is_what_stands_before_the_zero() {
        assert_eq!(text(b"").get(), Ok(None));
        assert_eq!(text(b"\0").get(), Ok(Some("")));
        assert_eq!(text(b"name\0").get(), Ok(Some("name")));
        assert!(text(b"\xff\0").get().is_err());
    }

    #[test]
    fn a_number_that_is_not_open_is_no_descriptor() {
        let get = |number| {
            let call = PhantomData;
            CDescriptor { number, call }.get().map(drop)
        };
        assert_eq!(get(-1), Err(Errno::BADF));
        assert_eq!(get(c_int::MAX), Err(Errno::BADF));
        assert_eq!(get(0), Ok(()));
    }
}
