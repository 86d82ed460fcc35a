//! Refusals in words: what cannot be livepatched, why, and what to do instead.

use elf_index::{Object, SectionId, SymbolId};
use klp_diff::{Obstacle, Refusal, Side};

use crate::comparison::Comparison;

/// The name of a symbol with its source file, where the object tells it.
#[must_use]
pub fn name(side: &Side<'_, '_>, id: SymbolId) -> String {
    let name = side.object().symbol(id).map_or("", |symbol| symbol.name);
    match side.file_of(id) {
        "" => name.to_owned(),
        file => format!("{file}: {name}"),
    }
}

/// A change that cannot be made.
#[must_use]
pub fn refusal(refusal: Refusal, found: &Comparison<'_, '_>) -> String {
    let after = |id| name(&found.after, id);
    match refusal {
        Refusal::DataChanged { after: id, .. } => format!(
            "{}: its initial contents changed, and the running kernel goes on using the old ones\n  \
             hint: change it from a pre-patch callback, or use a new variable",
            after(id)
        ),
        Refusal::DataResized {
            after: id,
            from,
            to,
            ..
        } => format!(
            "{}: its size changed from {from} to {to} bytes; existing instances keep theirs\n  \
             hint: keep the layout, and attach new fields with a shadow variable (klp_shadow_alloc)",
            after(id)
        ),
        Refusal::Init { after: id } => format!(
            "{}: it ran, or was read, when the kernel or module started, and is gone since\n  \
             hint: do what it does from a post-patch callback",
            after(id)
        ),
        Refusal::NotTraceable { after: id } => format!(
            "{}: it does not begin with a call of the tracer (notrace, noinstr, or built without it), so that nothing can \
             be put in its place\n  hint: change its callers instead",
            after(id)
        ),
        Refusal::FunctionNotTold { after: id } => format!(
            "{}: there are several functions of this name but for what the compiler numbered, and which of the old ones it was \
             cannot be told: they would go on being called\n  hint: change fewer of them at once, or make them noinline",
            after(id)
        ),
        Refusal::StateLost { after: id, user } => format!(
            "{}: {} would start with a fresh copy of this static variable; which of the old ones is meant cannot be told\n  \
             hint: give it a name of its own in both versions, or keep the state in a shadow variable",
            after(id),
            after(user)
        ),
        _ => format!("{refusal:?}"),
    }
}

/// What no module can take along, in an object after its change.
#[must_use]
pub fn obstacle(obstacle: Obstacle, object: &Object<'_>) -> String {
    let symbol = |id: SymbolId| object.symbol(id).map_or("", |symbol| symbol.name);
    let section = |id: SectionId| object.section(id).map_or("", |section| section.name);
    match obstacle {
        Obstacle::SpecialLayout { section: id } => format!(
            "section {} is no array of entries that begin with a place: this kernel's layout is not known",
            section(id)
        ),
        Obstacle::UnknownSpecial {
            section: id,
            function,
        } => format!(
            "{}: section {} says something about its inside, and a module without that would be wrong",
            symbol(function),
            section(id)
        ),
        Obstacle::UnnamedCode {
            section: id,
            offset,
        } => format!(
            "changed code goes on at {}+{offset:#x}, which no symbol names",
            section(id)
        ),
        Obstacle::UnknownEnd {
            section: id,
            offset,
        } => format!(
            "changed code uses {}+{offset:#x}, and nothing tells how much of it",
            section(id)
        ),
        Obstacle::KeyInModule { section: id, key } => format!(
            "{}: changed code depends on this key of a module ({}), which is not there yet when a livepatch is loaded\n  \
             hint: use static_key_enabled() for a static key, KLP_STATIC_CALL() for a static call",
            symbol(key),
            section(id)
        ),
        Obstacle::RuntimeConstant {
            section: id,
            function,
        } => format!(
            "{}: it has a constant that the kernel computes while it starts ({}), and nobody would do that for a module\n  \
             hint: use the variable that the constant is made from",
            symbol(function),
            section(id)
        ),
        _ => format!("{obstacle:?}"),
    }
}
