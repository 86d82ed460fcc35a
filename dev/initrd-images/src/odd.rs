//! An archive of entries that no tool writes, each of which Linux has its own way with: names that are
//! taken, folders that are not there, names of one file, links on the way.

use crate::rewrite::Raw;

const FILE: u32 = 0o100_644;
const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FIFO: u32 = 0o010_600;

/// The archive; everything is below `odd`.
pub fn odd_entries() -> Vec<u8> {
    let mut archive = Vec::new();
    let mut add = |name: &str, mode, content: &[u8]| {
        archive.extend(Raw::new(name, mode, content).bytes());
    };
    add("odd", FOLDER, b"");
    add("odd/dot/", FOLDER, b"");
    add("./odd/dot//slashes", FILE, b"found\n");
    add("odd/absent/file", FILE, b"left out");
    add("odd/late/file", FILE, b"left out: its folder comes later");
    add("odd/late", FOLDER, b"");
    taken_names(&mut add);
    on_the_way(&mut add);
    kinds(&mut add);
    archive.extend(hard_links());
    archive.extend(Raw::new("TRAILER!!!", 0, b"").bytes());
    // The end mark cuts the names of one file off from those behind it.
    archive.extend(Raw::linked("odd/behind-mark", b"a file of its own", 900).bytes());
    archive
}

type Add<'a> = &'a mut dyn FnMut(&str, u32, &[u8]);

fn taken_names(add: Add<'_>) {
    add("odd/twice", FILE, b"the first, and longer");
    add("odd/twice", 0o100_600, b"second");
    add("odd/becomes-folder", FILE, b"x");
    add("odd/becomes-folder", FOLDER, b"");
    add("odd/becomes-folder/file", FILE, b"y");
    add(
        "odd/becomes-folder",
        FILE,
        b"left out: the folder is not empty",
    );
    add("odd/empty-folder", FOLDER, b"");
    add("odd/empty-folder", FILE, b"takes its place");
    add("odd/becomes-link", FILE, b"x");
    add("odd/becomes-link", LINK, b"twice");
    add("odd/becomes-link", LINK, b"dangling");
    add("odd/link-becomes-file", LINK, b"twice");
    add("odd/link-becomes-file", FILE, b"no write goes through");
    add("odd/other-mode", 0o040_700, b"");
    add("odd/other-mode", 0o041_777, b"");
}

fn on_the_way(add: Add<'_>) {
    add("odd/usr", FOLDER, b"");
    add("odd/usr/bin", FOLDER, b"");
    add("odd/bin", LINK, b"usr/bin");
    add("odd/bin/through-link", FILE, b"in usr/bin");
    add("odd/root-link", LINK, b"/odd/usr");
    add("odd/root-link/bin/through-two", FILE, b"in usr/bin");
    add("odd/usr/../up", FILE, b"in odd");
    add("odd/circle", LINK, b"circle");
    add("odd/circle/file", FILE, b"left out");
    add("odd/twice/file", FILE, b"left out: no folder");
    let long = "n".repeat(255);
    add(&format!("odd/{long}"), FILE, b"longest");
    add(&format!("odd/{long}n"), FILE, b"left out");
    add("odd/not UTF-8 \u{1} \u{e9}", FILE, b"a name is bytes");
}

fn kinds(add: Add<'_>) {
    add("odd/fifo", FIFO, b"");
    add("odd/socket", 0o140_755, b"");
    add("odd/fifo-with-content", FIFO, b"left out");
    add("odd/folder-with-content", FOLDER, b"left out");
    add("odd/no-kind", 0o000_644, b"");
    add("odd/set-user", 0o104_755, b"x");
    add("odd/target-with-nul", LINK, b"up\0to here");
    add("odd/long-target", LINK, &[b't'; 4095]);
    add("odd/empty", FILE, b"");
}

fn hard_links() -> Vec<u8> {
    let linked = [
        // Content with the first, with the last, and with both.
        Raw::linked("odd/first-has-it", b"content", 901),
        Raw::linked("odd/first-has-it-2", b"", 901),
        Raw::linked("odd/last-has-it", b"", 902),
        Raw::linked("odd/last-has-it-2", b"content", 902),
        Raw::linked("odd/both", b"longer content", 903),
        Raw::linked("odd/both-2", b"shorter", 903),
        // Its first name is gone when the second is made.
        Raw::linked("odd/gone", b"gone", 904),
        Raw::new("odd/gone", FOLDER, b""),
        Raw::linked("odd/gone-2", b"left out", 904),
        // The same name again, as one more name of itself.
        Raw::linked("odd/itself", b"itself", 905),
        Raw::linked("odd/itself", b"left out, and so is what was there", 905),
        Raw::linked("odd/before-mark", b"before", 900),
    ];
    linked.iter().flat_map(Raw::bytes).collect()
}
