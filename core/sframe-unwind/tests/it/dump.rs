//! The dump is that of objdump.

use sframe_unwind::Dump;

use crate::fixtures;

#[test]
fn dumps_are_those_of_objdump() {
    for fixture in fixtures::all() {
        let section = fixture.section();
        let ours = Dump::new(&section, ".sframe").to_string();
        for (at, (ours, theirs)) in ours.lines().zip(fixture.dump.lines()).enumerate() {
            assert_eq!(ours, theirs, "{} line {}", fixture.name, at + 1);
        }
        assert_eq!(ours, fixture.dump, "{}", fixture.name);
    }
}
