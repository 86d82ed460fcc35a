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
        services: alloc::vec![Arc::new(ServiceRecord {
            name: "cache".into(),
            uid: 65534,
            session: Some(session),
            items: alloc::vec![item],
        })],
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
    assert_eq!(&bytes[..12], b"LUODJRNL\x02\x00\x01\x00");
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
        // Another `reader` that we satisfy: 0 and 3, which is too new, besides 1.
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
    bytes[10] = 3;
    let error = decode(&bytes).unwrap_err();
    assert!(
        matches!(
            error,
            JournalError::TooNew {
                writer: 9,
                needed: 3
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
            None => journal.services.push(Arc::new(ServiceRecord {
                name,
                ..(*sample().services[0]).clone()
            })),
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
                    id: alloc::format!("u{what}-{which}"),
                    from_release: "7.2".into(),
                    to_release: Some("7.3".into()),
                    cancelled: Some(name),
                    liveupdate_number: Some(1),
                    kexec_count: Some(2),
                    systemd_kexec_count: Some(3),
                    warnings: alloc::vec!["a store was lost".into()],
                    previous_log: Some(PreviousLog::Kept {
                        lines: u64::from(which),
                        last_line: "Starting new kernel".into(),
                    }),
                    timeline: Timeline {
                        ticks_hz: None,
                        marks: alloc::vec![mark].into(),
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
    fn what_is_written_bit_by_bit_is_read_as_it_was_at_every_moment(
        changes in proptest::collection::vec((any::<u8>(), any::<u8>()), 0..40),
        cut in any::<proptest::sample::Index>(),
    ) {
        let mut writer = Writer::default();
        let mut journal = Journal::default();
        let Written::Whole(mut bytes) = writer.write(&journal).unwrap() else {
            panic!("nothing to add to")
        };
        for (what, which) in changes {
            let before = journal.clone();
            changed(&mut journal, what, which);
            match writer.write(&journal).unwrap() {
                Written::Whole(whole) => bytes = whole,
                Written::Added(added) => {
                    let last = bytes.len();
                    bytes.extend(&added);
                    if !added.is_empty() && is_single(&added) {
                        let short = last + cut.index(added.len());
                        prop_assert_eq!(decode(&bytes[..short]).unwrap(), before);
                    }
                }
            }
            prop_assert_eq!(&decode(&bytes).unwrap(), &journal);
        }
    }
}

/// One change only: cut short, it leaves the journal as it was. Of several the first ones count.
fn is_single(added: &[u8]) -> bool {
    u32::from_le_bytes([added[0], added[1], added[2], added[3]]) as usize + 8 == added.len()
}

fn many(count: usize) -> Journal {
    let mut journal = sample();
    for number in 0..count {
        journal.services.push(Arc::new(ServiceRecord {
            name: alloc::format!("s{number}"),
            ..(*sample().services[0]).clone()
        }));
    }
    journal
}

#[test]
fn a_change_costs_what_it_is_until_everything_is_written_again() {
    let mut journal = many(1000);
    let mut writer = Writer::default();
    let Written::Whole(whole) = writer.write(&journal).unwrap() else {
        panic!("nothing to add to")
    };
    let mut added = 0;
    for round in 0_u32.. {
        journal.service_mut("s500").unwrap().uid = round;
        match writer.write(&journal).unwrap() {
            Written::Added(bytes) => {
                assert!(bytes.len() < 400, "{}", bytes.len());
                added += bytes.len();
            }
            Written::Whole(_) => break,
        }
    }
    assert!(
        (whole.len() / 2..whole.len() * 2).contains(&added),
        "{added}"
    );
    assert_eq!(writer.write(&journal).unwrap(), Written::Added(Vec::new()));
    writer.forget();
    assert!(matches!(writer.write(&journal).unwrap(), Written::Whole(_)));
}

#[test]
fn a_changed_byte_of_a_change_is_an_error_and_padding_is_none() {
    let mut journal = sample();
    let mut writer = Writer::default();
    let Written::Whole(mut bytes) = writer.write(&journal).unwrap() else {
        panic!("nothing to add to")
    };
    let start = bytes.len();
    journal.phase = Phase::Normal;
    let Written::Added(added) = writer.write(&journal).unwrap() else {
        panic!("a small change")
    };
    bytes.extend(added);
    let end = bytes.len();
    bytes.resize(end + 4096, 0);
    assert_eq!(decode(&bytes).unwrap(), journal);
    for at in start + 4..end {
        let mut damaged = bytes.clone();
        damaged[at] ^= 4;
        let error = decode(&damaged).unwrap_err();
        assert!(matches!(error, JournalError::Checksum { .. }), "{error}");
    }
}
