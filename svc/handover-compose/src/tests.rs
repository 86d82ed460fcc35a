//! Plans, and their handovers as read back by crate `handover`, which knows nothing of plans.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use handoff::Handover;
use handover::{Content, Event, examine};
use kho::{PhysMem as _, RadixTree, RootFdt};

use crate::{ComposeError, Composition, FolderError, Plan, PlanError, PlanProblem, Saved, compose};

fn at(text: &str) -> (usize, usize, PlanProblem) {
    match Plan::parse(text).unwrap_err() {
        PlanError::At {
            line,
            column,
            problem,
        } => (line, column, problem),
        other => panic!("{other}"),
    }
}

#[test]
fn what_is_wrong_with_a_plan_has_a_place() {
    let session = "[[session]]\nname = \"a\"\n";
    for (text, line, column, words) in [
        ("[machine\n", 1, 9, "unclosed table"),
        (
            "[machine]\nmemory = -1\n",
            2,
            10,
            "a number from 0 to 2^64 - 1",
        ),
        ("[machine]\nmemory = \"1Q\"\n", 2, 10, "a number from 0 to"),
        ("[machine]\nmemroy = 1\n", 2, 1, "unknown field `memroy`"),
        ("[[session]]\nname = \"\"\n", 2, 8, "session name is empty"),
        ("[[session]]\nfile = []\n", 1, 1, "missing field `name`"),
        (
            &format!("{session}\n{session}"),
            5,
            8,
            "a session \"a\" already",
        ),
        (
            &format!(
                "{session}file = [{{ token = 1, size = 0 }}, {{ token = \"0x1\", size = 0 }}]\n"
            ),
            3,
            34,
            "a file with the token 0x1 already",
        ),
        (
            &format!("{session}file = [{{ token = 1 }}]\n"),
            3,
            9,
            "neither content nor a size",
        ),
        (
            &format!("{session}file = [{{ token = 1, size = 0, seals = [\"frow\"] }}]\n"),
            3,
            41,
            "unknown variant `frow`",
        ),
        (
            &format!(
                "{session}file = [{{ token = 1, size = 0, position = \"0x8000000000000000\" }}]\n"
            ),
            3,
            9,
            "no file has the position 9223372036854775808",
        ),
        (
            "[handover]\nrelease = \"é\\u0000\"\n",
            2,
            11,
            "a release has up to 64 bytes",
        ),
        (
            "[[flb]]\ncompatible = \"\"\ndata = 1\n",
            1,
            1,
            "an FLB has a name",
        ),
        (
            "[[region]]\nlabel = \"a\"\nsize = 100\n",
            1,
            1,
            "whole pages",
        ),
        (
            "[[region]]\nlabel = \"a b\"\nsize = 4096\n",
            1,
            1,
            "a label of its own",
        ),
    ] {
        let (found_line, found_column, problem) = at(text);
        let problem = problem.to_string();
        assert!(problem.contains(words), "{text}: {problem}");
        assert_eq!(
            (found_line, found_column),
            (line, column),
            "{text}: {problem}"
        );
    }
}

#[test]
fn the_plan_in_the_book_is_one() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/src/guide/composing.md");
    let page = fs::read_to_string(page).unwrap();
    let (_, plan) = page.split_once("```toml\n").unwrap();
    let (plan, _) = plan.split_once("```").unwrap();
    let plan = Plan::parse(plan).unwrap();
    assert_eq!(plan.sessions[0].files.len(), 2);
    assert_eq!((plan.flbs.len(), plan.regions.len()), (1, 1));
}

/// Size, position, seals and content of each memfd, by session and token.
type Memfds = BTreeMap<(String, u64), (u64, u64, u32, Vec<u8>)>;

/// Everything crate `handover` finds, which must be without a problem.
fn found(composition: &Composition) -> Memfds {
    let memory = composition.memory();
    let mut session = String::new();
    let mut headers = Vec::new();
    let totals = examine(
        memory,
        composition.fdt(),
        Some(composition.scratch()),
        &mut |event| match event {
            Event::Problem(problem) => panic!("{problem}"),
            Event::Session(found) => session = found.name.to_owned(),
            Event::File(file) => {
                let header = file.memfd.as_ref().unwrap().header;
                headers.push((session.clone(), file.token, header));
            }
            _ => {}
        },
    );
    assert_eq!((totals.problems, totals.unknown_bytes), (0, 0));
    let fdt = memory.read_page(composition.fdt()).unwrap();
    let tree = RadixTree::at(RootFdt::read(&fdt).unwrap().memory_map);
    let read = |(session, token, header)| {
        let content = Content::read(memory, tree, header).unwrap();
        let mut bytes = vec![0; usize::try_from(content.size_bytes).unwrap()];
        for piece in &content.pieces {
            let start = usize::try_from(piece.offset).unwrap();
            let len = usize::try_from(piece.bytes).unwrap();
            memory
                .read(piece.addr, &mut bytes[start..start + len])
                .unwrap();
        }
        let header: kho_abi::memfd::MemfdSer = memory.read_value(header).unwrap();
        let value = (header.size, header.pos, header.seals.0, bytes);
        ((session, token), value)
    };
    headers.into_iter().map(read).collect()
}

const PLAN: &str = r#"
[handover]
release = "6.12.99"
kexec_count = 41
liveupdate_number = 7

[machine]
memory = "512M"

[[session]]
name = "empty"

[[session]]
name = "some"

[[session.file]]
token = 0
content = "large"
seals = ["grow", "shrink"]

[[session.file]]
token = "0xffffffffffffffff"
content = "small"
size = 10000
position = 5

[[session.file]]
token = 2
size = 0

[[session.file]]
token = 3
content = "small"

[[session.file]]
token = 4
size = "16M"

[[flb]]
compatible = "some-flb-v1"
data = "0xfeedf00dcafebee0"

[[region]]
label = "oops"
size = "12K"
content = "small"
"#;

fn large() -> Vec<u8> {
    (0..1_500_000_u32)
        .flat_map(|number| [number.to_le_bytes()[0], 1 + number.to_le_bytes()[1] / 2])
        .collect()
}

fn composed(base: &Path) -> Composition {
    fs::write(base.join("large"), large()).unwrap();
    fs::write(base.join("small"), b"small").unwrap();
    compose(&Plan::parse(PLAN).unwrap(), base).unwrap()
}

#[test]
fn every_file_of_the_plan_is_in_the_handover_and_nothing_is_wrong_with_it() {
    let base = tempfile::tempdir().unwrap();
    let composition = composed(base.path());
    let mut padded = b"small".to_vec();
    padded.resize(10_000, 0);
    let wanted = [
        (0, (3_000_000, 0, 6, large())),
        (u64::MAX, (10_000, 5, 0, padded)),
        (2, (0, 0, 0, Vec::new())),
        (3, (5, 0, 0, b"small".to_vec())),
        (4, (16 << 20, 0, 0, vec![0; 16 << 20])),
    ];
    let wanted: Memfds = wanted
        .into_iter()
        .map(|(token, file)| (("some".to_owned(), token), file))
        .collect();
    assert!(found(&composition) == wanted, "other files than planned");
}

#[test]
fn what_the_plan_claims_is_in_the_handover() {
    let base = tempfile::tempdir().unwrap();
    let composition = composed(base.path());
    let mut seen = Vec::new();
    let scratch = Some(composition.scratch());
    examine(
        composition.memory(),
        composition.fdt(),
        scratch,
        &mut |event| match event {
            Event::Metadata {
                release,
                kexec_count,
            } => seen.push(format!("{release} {kexec_count}")),
            Event::Luo { liveupdate_num } => seen.push(format!("update {liveupdate_num}")),
            Event::Flb(flb) => seen.push(format!("{} {:#x} {}", flb.name, flb.data, flb.count)),
            Event::Region(region) => {
                let mut bytes = [0; 6];
                composition.memory().read(region.start, &mut bytes).unwrap();
                assert_eq!(&bytes, b"small\0");
                seen.push(format!("{} {}", region.label, region.bytes));
            }
            Event::Session(session) => seen.push(session.name.to_owned()),
            _ => {}
        },
    );
    seen.sort();
    let wanted = [
        "6.12.99 41",
        "empty",
        "oops 12288",
        "some",
        "some-flb-v1 0xfeedf00dcafebee0 5",
        "update 7",
    ];
    assert_eq!(seen, wanted);
}

/// Each page that is not all zeros, and the number of all.
fn pages(handover: &Handover<'_>) -> (u64, BTreeMap<u64, Vec<u8>>) {
    let mut all = BTreeMap::new();
    let count = handover.content.iter().map(|it| it.len_bytes / 4096).sum();
    for content in &handover.content {
        for (addr, bytes) in (content.addr.0..)
            .step_by(4096)
            .zip(content.bytes.chunks(4096))
        {
            if bytes.iter().any(|&byte| byte != 0) {
                assert!(all.insert(addr, bytes.to_vec()).is_none(), "{addr:#x}");
            }
        }
    }
    (count, all)
}

#[test]
fn a_folder_gives_back_what_was_put_into_it_and_has_its_zeros_once() {
    let (base, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let composition = composed(base.path());
    let folder = folder.path().join("new");
    composition.save(&folder).unwrap();
    let saved = Saved::open(&folder).unwrap();
    assert_eq!(saved.map(), composition.map());
    let (one, other) = (saved.handover(), composition.handover().unwrap());
    assert_eq!(one.fdt, other.fdt);
    assert_eq!(one.scratch.areas(), other.scratch.areas());
    assert!(pages(&one) == pages(&other), "other pages");
    let bytes = fs::metadata(folder.join("pages.bin")).unwrap().len();
    assert_eq!(bytes, (pages(&one).1.len() as u64 + 1) * 4096);
    assert!(
        one.content.len() < pages(&one).1.len() + 100,
        "zeros in many pieces"
    );
}

#[test]
fn zeros_are_joined_where_they_touch_and_nowhere_else() {
    let (base, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    composed(base.path()).save(folder).unwrap();
    let index = "0x2000000 0\n0x2002000 0\n0x2003000 0\n0x2004000 1\n0x2005000 0\n";
    fs::write(folder.join("index.txt"), index).unwrap();
    let saved = Saved::open(folder).unwrap();
    let content = saved.handover().content;
    let pieces = content.iter();
    let pieces: Vec<_> = pieces
        .map(|it| (it.addr.0, it.bytes.len(), it.len_bytes))
        .collect();
    let wanted = [
        (0x200_0000, 0, 0x1000),
        (0x200_2000, 0, 0x2000),
        (0x200_4000, 0x1000, 0x2000),
    ];
    assert_eq!(pieces, wanted);
}

#[test]
fn a_folder_that_says_something_else_is_refused() {
    let (base, folder) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let folder = folder.path();
    composed(base.path()).save(folder).unwrap();
    let path = folder.join("handoff.json");
    let good = fs::read_to_string(&path).unwrap();
    let refused = |from: &str, to: &str| {
        assert!(good.contains(from), "{good}");
        fs::write(&path, good.replace(from, to)).unwrap();
        Saved::open(folder).unwrap_err()
    };
    let error = refused("\"format\": 1", "\"format\": 2");
    assert!(
        matches!(error, FolderError::Format { found: 2, .. }),
        "{error}"
    );
    let error = refused("\"fdt\": \"0x", "\"fdt\": \"");
    assert!(matches!(error, FolderError::Description { .. }), "{error}");
    let error = refused("\"kind\": 1", "\"kind\": 2");
    assert!(matches!(error, FolderError::Map { .. }), "{error}");
    fs::write(&path, &good).unwrap();
    fs::write(folder.join("pages.bin"), [0; 4096]).unwrap();
    let error = Saved::open(folder).unwrap_err();
    assert!(matches!(error, FolderError::Index { .. }), "{error}");
}

#[test]
fn what_does_not_fit_is_refused_with_its_reason() {
    let base = tempfile::tempdir().unwrap();
    fs::write(base.path().join("five"), b"five!").unwrap();
    let error = |files: &str| {
        let plan =
            format!("machine.memory = \"512M\"\n[[session]]\nname = \"a\"\nfile = [{files}]");
        compose(&Plan::parse(&plan).unwrap(), base.path()).unwrap_err()
    };
    let large = error("{ token = 1, size = \"1G\" }");
    assert!(large.is_want_of_memory(), "{large}");
    let gone = error("{ token = 1, content = \"gone\" }");
    assert!(matches!(gone, ComposeError::Content { .. }), "{gone}");
    let folder = error("{ token = 1, content = \".\" }");
    assert!(matches!(folder, ComposeError::Content { .. }), "{folder}");
    let long = error("{ token = 1, content = \"five\", size = 4 }");
    assert!(
        matches!(
            long,
            ComposeError::ContentTooLong {
                content_bytes: 5,
                size: 4,
                ..
            }
        ),
        "{long}"
    );
    let huge = error("{ token = 1, size = \"17592186044416K\" }");
    assert!(
        matches!(huge, ComposeError::File { token: 1, .. }),
        "{huge}"
    );
}
