//! A whole update on the emulated machine: the real luod, luoctl and kvcache.

use std::process::Command;

use super::emulator::{Programs, User, built, messages, printed, skipped};

/// Both generations start the same services; the first one updates, the second looks.
const SCRIPT: &str = r#"
export LIVEUPDATE_SOCKET=$PWD/run/liveupdate.sock
./luod --runtime-dir $PWD/run 2> luod.$LUO_EMU_GENERATION &
patience=200
until ./luoctl status > status 2> /dev/null; do
    patience=$((patience - 1)); test $patience -gt 0 || exit 90; sleep 0.05
done
./kvcache --service cache --unix $PWD/kv.sock --memory 16M > kv.$LUO_EMU_GENERATION 2>&1 &
until grep -q arena kv.$LUO_EMU_GENERATION; do
    patience=$((patience - 1)); test $patience -gt 0 || exit 91; sleep 0.05
done
load="--keys 1000 --value-bytes 272 --connect $PWD/kv.sock"
if [ $LUO_EMU_GENERATION = 1 ]; then
    ./kvcache-load fill $load && ./luo-emu kernel linux && ./luoctl update --kernel linux --reuse-cmdline
    exit 92
fi
./kvcache-load verify $load && ./luoctl report
"#;

#[test]
fn an_update_with_luod_keeps_every_key() {
    let allowed = Command::new("unshare").args(["-r", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return skipped("a user may make no user namespaces");
    }
    let programs = Programs::new();
    for program in built(&["luod", "luoctl", "kvcache"]) {
        programs.add(&program);
    }
    let user = User::all().pop().unwrap_or(User::Own);
    programs.give_to(user);
    let output = programs.script(&["--root", "--save", "."], user, SCRIPT);
    let text = printed(&output);
    let verified = "verified 1000 keys, 0 missing, 0 wrong";
    assert!(text.contains(verified), "{text}\n{}", messages(&output));
    assert!(text.contains("lost: nothing"), "{text}");
    assert!(
        text.contains("live update number 1, kexec count 1"),
        "{text}"
    );

    // What was handed over is read as that of a real machine is.
    let mut inspect = Command::new(programs.path("luoctl"));
    inspect.args(["inspect", "--verify", "generation-1.mem"]);
    let verified = printed(&programs.run(inspect, User::Own));
    assert!(verified.contains("0 problems"), "{verified}");
    assert!(verified.contains("2 sessions, 2 files"), "{verified}");
}
