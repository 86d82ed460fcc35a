//! The journal's bytes: what is written is read, what was changed is refused.

use proptest::prelude::*;

use super::*;
use crate::manifest::{ItemRecord, ItemState, SessionRecord, SessionState};
use crate::timeline::{Mark, MarkKind, Moment};

fn sample() -> Journal {
    let item = ItemRecord {
        name: "arena".into(),
        token: u64::MAX,
        schema: 3,
        required: true,
        size_bytes: 1 << 40,
        seals: 6,
        state: ItemState::Lost {
            reason: "gone".into(),
        },
    };
    let session = SessionRecord {
        name: "luod:cache".into(),
        state: SessionState::Outgoing,
    };
    Journal {
        phase: Phase::Frozen,
        services: alloc::vec![ServiceRecord {
            name: "cache".into(),
            uid: 65534,
            session: Some(session),
            items: alloc::vec![item],
        }],
        handover_error: Some("damaged".into()),
        update: Some(UpdateRecord {
            id: "u1".into(),
            ..UpdateRecord::default()
        }),
    }
}

#[test]
fn what_is_written_is_read_even_with_padding_behind_it() {
    let mut bytes = encode(&sample()).unwrap();
    assert_eq!(decode(&bytes).unwrap(), sample());
    bytes.resize(4096, 0);
    assert_eq!(decode(&bytes).unwrap(), sample());
}

#[test]
fn the_header_is_the_documented_one() {
    let bytes = encode(&Journal::default()).unwrap();
    assert_eq!(&bytes[..12], b"LUODJRNL\x01\x00\x01\x00");
    assert_eq!(bytes[16..24], u64::to_le_bytes(bytes.len() as u64 - 24));
    assert_eq!(bytes[24], b'{');
}

#[test]
fn every_single_flipped_bit_is_noticed() {
    let bytes = encode(&sample()).unwrap();
    for bit in 0..bytes.len() * 8 {
        // The writer's version is for messages only.
        if (64..80).contains(&bit) {
            continue;
        }
        let mut changed = bytes.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        // A smaller `reader` is still a reader we satisfy.
        if let Ok(journal) = decode(&changed) {
            assert_eq!(bit, 80, "bit {bit} changed unnoticed");
            assert_eq!(journal, sample());
        }
    }
}

#[test]
fn a_journal_for_newer_readers_is_refused_and_one_of_a_newer_writer_is_not() {
    let mut bytes = encode(&sample()).unwrap();
    bytes[8] = 9;
    assert_eq!(decode(&bytes).unwrap(), sample());
    bytes[10] = 2;
    let error = decode(&bytes).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::TooNew {
                writer: 9,
                needed: 2
            }
        ),
        "{error}"
    );
}

#[test]
fn fields_of_a_newer_writer_are_ignored() {
    let mut value = serde_json::to_value(sample()).unwrap();
    value["colour"] = "green".into();
    value["services"][0]["mood"] = 7.into();
    let journal: Journal = serde_json::from_value(value).unwrap();
    assert_eq!(journal, sample());
}

#[test]
fn an_absurd_length_is_an_error_and_no_allocation() {
    let mut bytes = encode(&sample()).unwrap();
    bytes[16..24].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(decode(&bytes), Err(JournalError::Length { .. })));
    assert!(matches!(
        decode(&bytes[..20]),
        Err(JournalError::Truncated { found: 20 })
    ));
}

proptest! {
    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _answer = decode(&bytes);
    }

    #[test]
    fn random_bytes_behind_a_right_header_never_panic(
        payload in proptest::collection::vec(any::<u8>(), 0..512)
    ) {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&[1, 0, 1, 0]);
        bytes.extend_from_slice(&crc32fast::hash(&payload).to_le_bytes());
        bytes.extend_from_slice(&(payload.len() as u64).to_le_bytes());
        bytes.extend_from_slice(&payload);
        let _answer = decode(&bytes);
    }
}

/// One change: a service added, changed or forgotten, a mark, a new update, everything else.
fn changed(journal: &mut Journal, what: u8, which: u8) {
    let name = alloc::format!("s{}", which % 8);
    let mark = Mark {
        kind: MarkKind::ServiceAttached,
        service: Some(name.clone()),
        at: Moment {
            ticks: Some(u64::from(which)),
            realtime_ns: u64::from(what),
        },
    };
    match what % 6 {
        0 | 1 => match journal.service_mut(&name) {
            Some(service) => service.uid = service.uid.wrapping_add(1),
            None => journal.services.push(ServiceRecord {
                name,
                ..sample().services[0].clone()
            }),
        },
        2 => journal.services.retain(|service| service.name != name),
        3 | 4 => {
            let update = journal.update.get_or_insert_default();
            update.timeline.marks.push(mark);
            update.timeline.ticks_hz = Some(1);
        }
        _ => {
            *journal = Journal {
                phase: Phase::Updated,
                services: core::mem::take(&mut journal.services),
                update: Some(UpdateRecord {
                    id: "u2".into(),
                    from_release: "7.2".into(),
                    to_release: Some("7.3".into()),
                    cancelled: Some(name),
                    liveupdate_number: Some(1),
                    kexec_count: Some(2),
                    systemd_kexec_count: Some(3),
                    warnings: alloc::vec!["a store was lost".into()],
                    timeline: Timeline {
                        ticks_hz: None,
                        marks: alloc::vec![mark],
                    },
                    programs: alloc::vec![ProgramRecord {
                        name: "10-network".into(),
                        payload: "two\nlines".into(),
                        failed: Some("no".into()),
                        state: ProgramState::Booted,
                    }],
                }),
                handover_error: None,
            };
        }
    }
}

proptest! {
    #[test]
    fn an_encoder_writes_the_same_bytes_after_every_change(
        changes in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..40),
    ) {
        let mut encoder = Encoder::default();
        let mut journal = Journal::default();
        for (what, which) in changes {
            changed(&mut journal, what, which);
            prop_assert_eq!(encoder.encode(&journal).unwrap(), encode(&journal).unwrap());
        }
    }
}
