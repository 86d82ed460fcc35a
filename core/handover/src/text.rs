//! Names as the kernel keeps them: bytes up to a NUL.

use alloc::string::String;

/// The text before the first NUL; `None` when it is empty or there is no NUL.
pub(crate) fn terminated(bytes: &[u8]) -> Option<String> {
    let end = bytes.iter().position(|&byte| byte == 0)?;
    (end != 0).then(|| lossy(bytes))
}

/// The text before the first NUL, or all of it.
pub(crate) fn lossy(bytes: &[u8]) -> String {
    let text = bytes.split(|&byte| byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}
