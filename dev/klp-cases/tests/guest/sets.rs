//! Which functions both tools take for changed or new in two builds of an object, and why they differ where they do.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use elf_index::SymbolId;
use klp_cases::Verdict;
use klp_checksum::{Program, Reason, Rule, Transcript};
use klp_diff::Refusal;
use livepatch::{Comparison, Input};

/// What one tool sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Functions {
    pub(crate) changed: BTreeSet<String>,
    pub(crate) new: BTreeSet<String>,
}

/// What both see.
#[derive(Clone, Debug)]
pub(crate) struct Sets {
    pub(crate) ours: Functions,
    pub(crate) theirs: Functions,
    /// Changed functions whose checksum is the same by the rule of `objtool`, which therefore cannot see them, and what it
    /// does not look at.
    pub(crate) gaps: BTreeMap<String, Reason>,
}

impl Sets {
    pub(crate) fn of(before: &Path, after: &Path, theirs: Verdict) -> Self {
        let (before, after) = (Input::open(before).unwrap(), Input::open(after).unwrap());
        let (one, two) = (before.object().unwrap(), after.object().unwrap());
        let found = Comparison::new((&one, before.path()), (&two, after.path())).unwrap();
        let name = |id: SymbolId| {
            let symbol = two.symbol(id).unwrap();
            symbol.is_func().then(|| symbol.name.to_owned())
        };
        let difference = &found.difference;
        let mut ours = Functions::default();
        ours.changed
            .extend(difference.changed.iter().filter_map(|(_, id)| name(*id)));
        ours.new
            .extend(difference.added.iter().filter_map(|id| name(*id)));
        // Refused at once: objtool counts it, and refuses later.
        let init = difference.refusals.iter().filter_map(|it| match it {
            Refusal::Init { after } => name(*after),
            _ => None,
        });
        ours.changed
            .extend(init.filter(|name| !ours.new.contains(name)));
        let programs = [Program::new(&one).unwrap(), Program::new(&two).unwrap()];
        let unseen = ours.changed.difference(&theirs.changed);
        let gaps = unseen.filter_map(|name| Some((name.clone(), gap(&programs, name)?)));
        Self {
            gaps: gaps.collect(),
            theirs: Functions {
                changed: theirs.changed,
                new: theirs.new,
            },
            ours,
        }
    }

    /// What objtool would see if it had no gaps.
    pub(crate) fn theirs_without_gaps(&self) -> Functions {
        let mut functions = self.theirs.clone();
        functions.changed.extend(self.gaps.keys().cloned());
        functions
    }
}

/// What makes the difference, of a function that is the same by the rule of `objtool`.
fn gap(programs: &[Program<'_, '_>; 2], name: &str) -> Option<Reason> {
    let transcripts = |rule| programs.each_ref().map(|it| transcript(it, name, rule));
    let [one, two] = transcripts(Rule::Objtool);
    if one.checksum() != two.checksum() {
        return None;
    }
    let [one, two] = transcripts(Rule::Content);
    let steps = one.steps_with_bytes().zip(two.steps_with_bytes());
    let mut different = steps.filter(|((_, one), (_, two))| one != two);
    different.next().map(|((step, _), _)| step.reason)
}

fn transcript(program: &Program<'_, '_>, name: &str, rule: Rule) -> Transcript {
    let named = |id| {
        program
            .object()
            .symbol(id)
            .is_some_and(|it| it.name == name)
    };
    let mut subjects = program.subjects().iter().filter(|it| named(it.symbol));
    let subject = subjects.next().unwrap();
    assert!(subjects.next().is_none(), "two functions {name}");
    let mut transcript = Transcript::with_steps();
    program.transcribe(*subject, rule, &mut transcript).unwrap();
    transcript
}
