//! Gives the shared library the name by which programs ask for it.

/// Grows when a program that was linked with an older library no longer works with it.
const ABI: u32 = 0;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libliveupdate.so.{ABI}");
}
