//! Entries of `liveupdate-uapi`, mainline dialect. The v4 dialect has no tree to compare with.

use liveupdate_uapi::{IOCTL_TYPE, mainline};

use super::{Table, count, define, enumerator, layout};

const HEADER: &str = "include/uapi/linux/liveupdate.h";

/// Adds the entries.
pub(super) fn add(table: &mut Table) {
    table.layouts.extend([
        layout!(
            HEADER,
            "liveupdate_ioctl_create_session" = mainline::CreateSession {
                size: "size",
                fd: "fd",
                name: "name"
            },
            0
        ),
        layout!(
            HEADER,
            "liveupdate_ioctl_retrieve_session" = mainline::RetrieveSession {
                size: "size",
                fd: "fd",
                name: "name"
            },
            0
        ),
        layout!(
            HEADER,
            "liveupdate_session_preserve_fd" = mainline::PreserveFd {
                size: "size",
                fd: "fd",
                token: "token"
            },
            0
        ),
        layout!(
            HEADER,
            "liveupdate_session_retrieve_fd" = mainline::RetrieveFd {
                size: "size",
                fd: "fd",
                token: "token"
            },
            0
        ),
        layout!(
            HEADER,
            "liveupdate_session_finish" = mainline::Finish {
                size: "size",
                reserved: "reserved"
            },
            0
        ),
        layout!(
            HEADER,
            "liveupdate_session_get_name" = mainline::GetName {
                size: "size",
                reserved: "reserved",
                name: "name"
            },
            0
        ),
    ]);
    table.constants.extend([
        define(HEADER, "LIVEUPDATE_IOCTL_TYPE", u64::from(IOCTL_TYPE)),
        define(
            HEADER,
            "LIVEUPDATE_SESSION_NAME_LENGTH",
            count(mainline::SESSION_NAME_LENGTH),
        ),
        define(
            HEADER,
            "LIVEUPDATE_IOCTL_CREATE_SESSION",
            u64::from(mainline::IOCTL_CREATE_SESSION),
        ),
        define(
            HEADER,
            "LIVEUPDATE_IOCTL_RETRIEVE_SESSION",
            u64::from(mainline::IOCTL_RETRIEVE_SESSION),
        ),
        define(
            HEADER,
            "LIVEUPDATE_SESSION_PRESERVE_FD",
            u64::from(mainline::SESSION_PRESERVE_FD),
        ),
        define(
            HEADER,
            "LIVEUPDATE_SESSION_RETRIEVE_FD",
            u64::from(mainline::SESSION_RETRIEVE_FD),
        ),
        define(
            HEADER,
            "LIVEUPDATE_SESSION_FINISH",
            u64::from(mainline::SESSION_FINISH),
        ),
        define(
            HEADER,
            "LIVEUPDATE_SESSION_GET_NAME",
            u64::from(mainline::SESSION_GET_NAME),
        ),
        enumerator(HEADER, "LIVEUPDATE_CMD_BASE", u64::from(mainline::CMD_BASE)),
        enumerator(
            HEADER,
            "LIVEUPDATE_CMD_SESSION_BASE",
            u64::from(mainline::CMD_SESSION_BASE),
        ),
    ]);
}
