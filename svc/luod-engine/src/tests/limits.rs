//! Users who may have so much kept and no more.

use rustix::fs::{MemfdFlags, ftruncate, memfd_create};

use super::*;

/// A user who may not have much.
const LIMITED: u32 = 4242;

/// The limits of every engine under test.
pub(super) fn of_one_user() -> crate::Limits {
    let limits = crate::UserLimits {
        services: 2,
        items: 3,
        memory_mib: 1,
    };
    crate::Limits {
        user: [(LIMITED.to_string(), limits)].into(),
        ..crate::Limits::default()
    }
}

/// A program of the limited user.
fn peer(connection: u64) -> Peer {
    Peer {
        connection,
        pid: 2000 + u32::try_from(connection).unwrap(),
        uid: LIMITED,
    }
}

fn sparse(bytes: u64) -> OwnedFd {
    let memfd = memfd_create("sparse", MemfdFlags::ALLOW_SEALING | MemfdFlags::EXEC).unwrap();
    ftruncate(&memfd, bytes).unwrap();
    memfd
}

fn keep_file(
    boot: &Boot,
    peer: &Peer,
    (service, item): (&str, &str),
    file: &OwnedFd,
) -> Result<(), Refusal> {
    let request = Keep {
        service: service.to_owned(),
        item: item.to_owned(),
        schema: 1,
        required: true,
    };
    let fds = vec![file.try_clone().unwrap()];
    boot.engine.keep_item(peer, &request, fds)
}

#[track_caller]
fn refused<T: std::fmt::Debug>(answer: Result<T, Refusal>, text: &str) {
    let refusal = answer.unwrap_err();
    assert_eq!(refusal.code, Code::LimitReached, "{refusal}");
    assert!(refusal.message.contains(text), "{refusal}");
}

#[test]
fn services_items_and_memory_of_a_user_are_limited_and_roots_are_not() {
    let boot = Boot::cold();
    let [one, two, three] = [1, 2, 3].map(peer);
    boot.engine.attach(&one, "one").unwrap();
    boot.engine.attach(&two, "two").unwrap();
    refused(
        boot.engine.attach(&three, "three"),
        "user 4242 has 2 services",
    );
    // Again under the same name is no further service.
    boot.engine.attach(&one, "one").unwrap();
    for item in ["a", "b", "c"] {
        keep(&boot.engine, &one, "one", item).unwrap();
    }
    refused(keep(&boot.engine, &one, "one", "d"), "3 items are kept");
    keep(&boot.engine, &one, "one", "a").unwrap();
    let large = sparse(1 << 20);
    refused(
        keep_file(&boot, &two, ("two", "large"), &large),
        "the limit of 1 MiB",
    );
    // In its own place it may be as large as before.
    let fits = sparse((1 << 20) - 64);
    keep_file(&boot, &two, ("two", "fits"), &fits).unwrap();
    keep_file(&boot, &two, ("two", "fits"), &fits).unwrap();

    let root = boot.attach(4, "roots");
    keep_file(&boot, &root, ("roots", "large"), &sparse(1 << 30)).unwrap();
}

#[test]
fn a_file_that_grew_past_the_limit_stops_the_update_by_name() {
    let boot = Boot::cold();
    let one = peer(1);
    boot.engine.attach(&one, "one").unwrap();
    let file = sparse(4096);
    keep_file(&boot, &one, ("one", "grows"), &file).unwrap();
    ftruncate(&file, 2 << 20).unwrap();
    refused(boot.prepare(), "\"grows\" of \"one\" has grown");
    ftruncate(&file, 1 << 20).unwrap();
    boot.prepare().unwrap();
}
