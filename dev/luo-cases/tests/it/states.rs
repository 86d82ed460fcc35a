//! The v4 dialect.

use super::emulator::{Programs, User, printed, two_stages};

#[test]
fn the_machine_goes_through_its_states_and_over_the_jump() {
    let script = two_stages("./luo-cases prepare", "./luo-cases updated");
    let output = Programs::new().script(&["--dialect", "v4"], User::Own, &script);
    let expected = "\
state: 1
cancel at first: ENOENT
finish at first: EINVAL
freeze: EOPNOTSUPP
create: ok
preserve: ok
prepare: ok
state: 2
prepare again: EINVAL
cancel: ok
state: 1
prepare: ok
state: 4
retrieve: ok
restore: ok
content: over the jump
finish: ok
state: 1
";
    assert_eq!(printed(&output), expected);
}

#[test]
fn calls_of_this_dialect_are_injected_by_their_own_numbers() {
    let options = ["--dialect", "v4", "--inject", "create_session=EIO"];
    let output = Programs::new().script(&options, User::Own, "./luo-cases prepare");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    // The number of GET_STATE is that of CREATE_SESSION in the other dialect.
    assert!(text.starts_with("state: 1\n"), "{text}");
    assert!(text.contains("create: EIO"), "{text}");
}
