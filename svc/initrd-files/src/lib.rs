//! Initramfs images as files, for tools: [`list`](Listing) what is in one, find a file in it
//! ([`content`]), make one of a [`Manifest`] ([`build()`]), add to one without unpacking it
//! ([`append()`]), compare two ([`compare`]).
//!
//! What is in an image and whether Linux takes it is the matter of the crate `initrd`. Nothing here
//! unpacks to a file system.

mod append;
mod build;
mod compare;
mod content;
mod error;
mod listing;
mod manifest;
mod packer;
mod plan;
mod root;
mod unpack;

pub use append::{Appended, append};
pub use build::{Built, build};
pub use compare::{Change, compare};
pub use content::content;
pub use error::Error;
pub use listing::{EntryLine, Listing, MemberLine, line};
pub use manifest::{Compression, Manifest};
pub use plan::Plan;
pub use unpack::{MAX_MEMBER_BYTES, rules, unpack};
