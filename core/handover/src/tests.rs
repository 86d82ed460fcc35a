//! A handover of Linux, read completely; and what damage to it does.

use std::format;
use std::io::Read as _;
use std::sync::LazyLock;
use std::vec::Vec;

use kho::{Order, PageSize, PhysAddr, PhysMem as _, RadixTree, RootFdt, ScratchAreas};
use proptest::prelude::*;

use super::*;

const ROOT: PhysAddr = PhysAddr(0x5c_c000);

/// Unpacked once.
static RECORDED: LazyLock<PageImage> = LazyLock::new(unpack);

fn recorded() -> PageImage {
    RECORDED.clone()
}

fn unpack() -> PageImage {
    let packed: &[u8] = include_bytes!("../testdata/linux-7.3.4/pages.zst");
    let mut pages = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed)
        .unwrap()
        .read_to_end(&mut pages)
        .unwrap();
    let index = include_str!("../testdata/linux-7.3.4/index.txt");
    PageImage::new(PageSize::Size4K, index, pages).unwrap()
}

/// What comes of each problem that is found when the word at `addr` is another one.
fn with_word(addr: u64, value: u64) -> Vec<(Consequence, Problem)> {
    damaged(&[(addr, value.to_le_bytes().to_vec())])
}

fn damaged(changes: &[(u64, Vec<u8>)]) -> Vec<(Consequence, Problem)> {
    let image = recorded().with(changes);
    let mut problems = Vec::new();
    examine(&image, ROOT, None, &mut |event| {
        if let Event::Problem(problem) = event {
            problems.push((problem.consequence(), problem.clone()));
        }
    });
    problems
}

#[test]
fn a_handover_of_linux_is_read_completely_and_nothing_is_wrong_with_it() {
    let mut sessions = Vec::new();
    let mut files = Vec::new();
    let mut rest = Vec::new();
    let totals = examine(&recorded(), ROOT, None, &mut |event| match event {
        Event::Session(session) => sessions.push((session.name.clone(), session.files)),
        Event::File(file) => {
            let memfd = file.memfd.as_ref().unwrap();
            assert_eq!(file.handler, "memfd-v2");
            files.push((
                file.token,
                memfd.size_bytes,
                memfd.pos_bytes,
                memfd.seals.0,
                memfd.orders.blocks(),
            ));
        }
        Event::Metadata {
            release,
            kexec_count,
        } => rest.push(format!("{release}, count {kexec_count}")),
        Event::Region(region) => {
            rest.push(format!(
                "{} {} {:#x}",
                region.label, region.start, region.bytes
            ));
        }
        Event::Luo { liveupdate_num } => rest.push(format!("number {liveupdate_num}")),
        Event::Flb(flb) => rest.push(format!("{} {:#x} {}", flb.name, flb.data, flb.count)),
        Event::Problem(problem) => panic!("{problem}"),
        _ => {}
    });
    let names: Vec<_> = sessions
        .iter()
        .map(|(name, files)| (&**name, *files))
        .collect();
    let expected = [("a", 1), ("empty", 0), ("q", 4), ("unretrieved-session", 1)];
    assert_eq!(names, expected);
    let expected = [
        (7, 5, 5, 4, 1),
        (100, 10, 7, 6, 1),
        (0, 10_000, 0, 1, 3),
        (u64::MAX, 0, 0, 0x20, 0),
        (55, 1, 1, 1, 1),
        (1, 3, 3, 1, 1),
    ];
    assert_eq!(files, expected);
    let expected = [
        "rmtest 0x1ec00000 0x200000",
        "number 1",
        "liveupdate-test-flb-v0 0xfeedf00dcafebee0 6",
        "liveupdate-test-flb-v1 0xfeedf00dcafebee1 6",
        "liveupdate-test-flb-v2 0xfeedf00dcafebee2 6",
        "7.3.4, count 1",
    ];
    assert_eq!(rest, expected);
    let orders: Vec<_> = totals.preserved.iter().collect();
    assert_eq!(orders, [(Order(0), 32), (Order(9), 1)]);
    assert_eq!((totals.memfd_bytes, totals.tree_nodes), (10_019, 11));
    assert_eq!(totals.unknown_bytes, 0, "every block has an owner");
}

#[test]
fn every_block_belongs_to_one_owner() {
    let mut extents = Vec::new();
    let totals = examine(&recorded(), ROOT, None, &mut |event| {
        if let Event::Extent { addr, bytes, owner } = event {
            extents.push((addr.0, bytes, owner));
        }
    });
    extents.sort_unstable();
    for pair in extents.windows(2) {
        assert!(pair[0].0 + pair[0].1 <= pair[1].0, "{pair:x?}");
    }
    let sum: u64 = extents.iter().map(|&(_, bytes, _)| bytes).sum();
    assert_eq!(sum, totals.preserved.bytes(PageSize::Size4K));
    let reserve_mem = (0x1ec0_0000, 0x20_0000, Owner::ReserveMem);
    assert!(extents.contains(&reserve_mem));
}

#[test]
fn what_is_in_scratch_is_found() {
    let area = kho::Area {
        addr: PhysAddr(0x89_c000),
        bytes: 0x1000,
    };
    let scratch = ScratchAreas::new(std::vec![area]);
    let mut found = Vec::new();
    examine(&recorded(), ROOT, Some(&scratch), &mut |event| {
        if let Event::Problem(problem) = event {
            found.push(problem.clone());
        }
    });
    let (addr, order) = (PhysAddr(0x89_c000), Order(0));
    assert_eq!(found, [Problem::InScratch { addr, order }]);
}

/// Where things are in the recorded handover.
const LUO: u64 = 0x87_f000;
const SESSIONS: u64 = 0x88_d000;
const FLBS: u64 = 0x87_b000;
const METADATA: u64 = 0x5d_2000;
/// Header of the file with token 0 of session "q".
const SPARSE: u64 = 0x89_6000;
/// Its table of folios.
const SPARSE_TABLE: u64 = 0x89_9000;

#[test]
fn each_damage_is_told_with_what_comes_of_it() {
    use Consequence::{Corruption, Loss, NoSessions, Odd, Panic};
    let count = SESSIONS + 8;
    let second = SESSIONS + 16 + 80;
    let checks: [(&str, u64, u64, Consequence, fn(&Problem) -> bool); 17] = [
        (
            "version of LUO",
            LUO,
            u64::from_le_bytes(*b"luo-v4\0\0"),
            Panic,
            |problem| matches!(problem, Problem::LuoVersion { found } if found == "luo-v4"),
        ),
        ("empty session block", count, 0, Panic, |problem| {
            matches!(
                problem,
                Problem::Sessions(kho::BlockError::Count { count: 0, .. })
            )
        }),
        (
            "session block that is too full",
            count,
            52,
            Panic,
            |problem| matches!(problem, Problem::Sessions(_)),
        ),
        (
            "session block behind itself",
            SESSIONS,
            SESSIONS,
            Panic,
            |problem| matches!(problem, Problem::Sessions(kho::BlockError::Endless { .. })),
        ),
        ("session without a name", second, 0, Loss, |problem| {
            matches!(problem, Problem::SessionName { index: 1 })
        }),
        (
            "two sessions of one name",
            second,
            u64::from(b'a'),
            NoSessions,
            |problem| matches!(problem, Problem::SessionTwice { name } if name == "a"),
        ),
        ("files without a table", second + 72, 3, Loss, |problem| {
            matches!(problem, Problem::NoFiles { expected: 3, .. })
        }),
        (
            "a file less than said",
            SESSIONS + 16 + 72,
            2,
            NoSessions,
            |problem| {
                matches!(
                    problem,
                    Problem::FileCount {
                        expected: 2,
                        found: 1,
                        ..
                    }
                )
            },
        ),
        ("more FLBs than fit", FLBS + 8, 64, Loss, |problem| {
            matches!(problem, Problem::Flbs { count: 64, .. })
        }),
        ("metadata of another version", METADATA, 2, Odd, |problem| {
            matches!(problem, Problem::MetadataVersion { found: 2 })
        }),
        ("an unknown seal", SPARSE + 16, 0x41, Loss, |problem| {
            matches!(
                problem,
                Problem::Memfd {
                    token: 0,
                    problem: MemfdProblem::Seals(0x40),
                    ..
                }
            )
        }),
        ("flags", SPARSE + 20, 0x3_0000_0000 | 1, Odd, |problem| {
            matches!(
                problem,
                Problem::Memfd {
                    problem: MemfdProblem::Flags(1),
                    ..
                }
            )
        }),
        (
            "more folios than fit in the table",
            SPARSE + 24,
            257,
            Corruption,
            |problem| {
                matches!(
                    problem,
                    Problem::Memfd {
                        problem: MemfdProblem::TableSize { .. },
                        ..
                    }
                )
            },
        ),
        (
            "a table of another length",
            SPARSE + 40,
            2,
            Loss,
            |problem| {
                matches!(
                    problem,
                    Problem::Memfd {
                        problem: MemfdProblem::Table(_),
                        ..
                    }
                )
            },
        ),
        (
            "a folio nobody preserved",
            SPARSE_TABLE,
            0x30_0000_0000_0042,
            Corruption,
            |problem| {
                matches!(
                    problem,
                    Problem::Memfd {
                        problem: MemfdProblem::NotPreserved {
                            addr: PhysAddr(0x4_2000),
                            ..
                        },
                        ..
                    }
                )
            },
        ),
        (
            "a folio of another",
            SPARSE_TABLE,
            0x30_0000_0000_088d,
            Corruption,
            |problem| {
                matches!(
                    problem,
                    Problem::Memfd {
                        problem: MemfdProblem::UsedTwice { .. },
                        ..
                    }
                )
            },
        ),
        (
            "a folio not up to date",
            SPARSE_TABLE,
            0x10_0000_0000_0897,
            Loss,
            |problem| {
                matches!(
                    problem,
                    Problem::Memfd {
                        problem: MemfdProblem::NotUptodate(1),
                        ..
                    }
                )
            },
        ),
    ];
    for (what, addr, value, consequence, is_expected) in checks {
        let problems = with_word(addr, value);
        let expected = problems
            .iter()
            .any(|(found, problem)| *found == consequence && is_expected(problem));
        assert!(expected, "{what}: {problems:?}");
    }
}

#[test]
fn a_root_of_another_version_is_a_cold_boot() {
    let mut page = recorded().read_page(ROOT).unwrap();
    let at = page.windows(6).position(|word| word == b"kho-v4").unwrap();
    page[at + 5] = b'3';
    let problems = damaged(&[(ROOT.0, page)]);
    assert!(
        matches!(&problems[..], [(Consequence::ColdBoot, Problem::Root(_))]),
        "{problems:?}"
    );
    assert_eq!(
        locate(&recorded(), ROOT),
        RootFdt::read(&recorded().read_page(ROOT).unwrap()).ok()
    );
    assert_eq!(locate(&recorded(), PhysAddr(LUO)), None);
}

#[test]
fn content_is_where_the_table_says() {
    let image = recorded();
    let root = RootFdt::read(&image.read_page(ROOT).unwrap()).unwrap();
    let tree = RadixTree::at(root.memory_map);
    let content = Content::read(&image, tree, PhysAddr(SPARSE)).unwrap();
    let pieces: Vec<_> = content
        .pieces
        .iter()
        .map(|piece| (piece.offset, piece.addr.0, piece.bytes))
        .collect();
    let expected = [(0, 0x89_7000, 8192), (8192, 0x1be_9000, 10_000 - 8192)];
    assert_eq!(pieces, expected);
    // The file with token 100: its content is on the recorded pages.
    let content = Content::read(&image, tree, PhysAddr(0x89_3000)).unwrap();
    let [piece] = content.pieces[..] else {
        panic!("{content:?}")
    };
    let mut text = [0; 10];
    image.read(piece.addr, &mut text).unwrap();
    assert_eq!(std::str::from_utf8(&text), Ok("0123456789"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Words are replaced by words from elsewhere in the handover: addresses that lead somewhere.
    #[test]
    fn damage_is_told_and_never_followed(
        changes in proptest::collection::vec((0..43_usize, 0..512_u64, 0..43_usize, 0..512_u64, any::<u8>()), 1..4)
    ) {
        let image = recorded();
        let pages: Vec<PhysAddr> = image.addresses().collect();
        let changes: Vec<_> = changes.into_iter().map(|(page, word, from, at, xor)| {
            let mut bytes = [0; 8];
            image.read(PhysAddr(pages[from].0 + at * 8), &mut bytes).unwrap();
            bytes[usize::from(xor) % 8] ^= xor;
            (pages[page].0 + word * 8, bytes.to_vec())
        }).collect();
        let mut told = 0_u64;
        let totals = examine(&image.with(&changes), ROOT, None, &mut |event| {
            if let Event::Problem(_) = event {
                told += 1;
            }
        });
        prop_assert_eq!(told, totals.problems);
    }
}
