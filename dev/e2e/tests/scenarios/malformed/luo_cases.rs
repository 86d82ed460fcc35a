//! What is wrong in the state of the Live Update Orchestrator.

use kho::PhysAddr;
use kho_abi::block::BlockHeader;
use kho_abi::luo::{ENTRY_NAME, FileSer, FileSetSer, LuoSer, SessionSer};
use zerocopy::IntoBytes as _;

use super::{Case, Outcome, Rig};

/// Name of the one session.
pub(super) const SESSION: &str = "composed";
/// Token of its one file.
pub(super) const TOKEN: u64 = 7;

/// One line each.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "luo_without_sessions",
        change_fn: |rig| luo(rig, b"luo-v5\0\0", 0),
        outcome: Outcome::Received(Some("Retrieved live update data, liveupdate number: 41")),
    },
    Case {
        name: "luo_v4",
        change_fn: |rig| luo(rig, b"luo-v4\0\0", 0),
        outcome: Outcome::Panics("LUO state is incompatible with 'luo-v5'"),
    },
    Case {
        name: "luo_of_31_bytes",
        change_fn: |rig| {
            let page = rig.page(&[0; 32])?;
            rig.add_subtree(ENTRY_NAME, page, 31);
            Ok(())
        },
        outcome: Outcome::Panics("LUO state is too small (31 < 32)"),
    },
    Case {
        name: "session_block_without_sessions",
        change_fn: |rig| {
            let block = rig.page(header(0, 0).as_bytes())?;
            luo(rig, b"luo-v5\0\0", block.0)
        },
        outcome: Outcome::Panics("Block contains invalid entry count: 0"),
    },
    Case {
        name: "session_block_with_52_sessions",
        change_fn: |rig| {
            let block = rig.page(header(0, 52).as_bytes())?;
            luo(rig, b"luo-v5\0\0", block.0)
        },
        outcome: Outcome::Panics("Block contains invalid entry count: 52"),
    },
    Case {
        name: "session_block_that_follows_itself",
        change_fn: |rig| {
            let block = sessions(rig, FileSetSer::default())?;
            kho::PhysMemMut::write_value(rig.memory(), block, &block.0)?;
            luo(rig, b"luo-v5\0\0", block.0)
        },
        outcome: Outcome::Panics("Block set is corrupted"),
    },
    Case {
        name: "session_without_files",
        change_fn: |rig| {
            let block = sessions(rig, FileSetSer::default())?;
            luo(rig, b"luo-v5\0\0", block.0)
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "session_with_fewer_files_than_it_says",
        change_fn: |rig| {
            let files = files(rig, "memfd-v2", 0)?;
            let block = sessions(rig, FileSetSer { files, count: 2 })?;
            luo(rig, b"luo-v5\0\0", block.0)
        },
        outcome: Outcome::DeviceFails("File count mismatch: expected 2, found 1"),
    },
    Case {
        name: "file_of_memfd_v1",
        change_fn: |rig| {
            let files = files(rig, "memfd-v1", 0)?;
            let block = sessions(rig, FileSetSer { files, count: 1 })?;
            luo(rig, b"luo-v5\0\0", block.0)
        },
        outcome: Outcome::DeviceFails("No registered handler for compatible 'memfd-v1'"),
    },
];

const fn header(next: u64, count: u64) -> BlockHeader {
    BlockHeader { next, count }
}

/// The orchestrator's root.
pub(super) fn luo(rig: &mut Rig, compatible: &[u8; 8], sessions_pa: u64) -> anyhow::Result<()> {
    let root = LuoSer {
        compatible: *compatible,
        liveupdate_num: 41,
        sessions_pa,
        flbs_pa: 0,
    };
    let page = rig.page(root.as_bytes())?;
    rig.add_subtree(ENTRY_NAME, page, size_of::<LuoSer>() as u64);
    Ok(())
}

/// A block with one session.
pub(super) fn sessions(rig: &mut Rig, file_set_ser: FileSetSer) -> anyhow::Result<PhysAddr> {
    let session = SessionSer {
        name: text(SESSION),
        file_set_ser,
    };
    rig.page(&[header(0, 1).as_bytes(), session.as_bytes()].concat())
}

/// The address of a block with one file.
pub(super) fn files(rig: &mut Rig, compatible: &str, data: u64) -> anyhow::Result<u64> {
    let file = FileSer {
        compatible: text(compatible),
        data,
        token: TOKEN,
    };
    let block = rig.page(&[header(0, 1).as_bytes(), file.as_bytes()].concat())?;
    Ok(block.0)
}

fn text<const N: usize>(text: &str) -> [u8; N] {
    let mut bytes = [0; N];
    bytes[..text.len()].copy_from_slice(text.as_bytes());
    bytes
}
