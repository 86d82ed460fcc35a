//! Says everything that is wrong with a section, before anybody relies on it.
//!
//! What must not be met while unwinding has to be found when a section is built or loaded: a reader that meets
//! it later can only give up. A [`Policy`] says what is refused. A section without errors has a row or none for
//! every instruction: [`Section::find`] does not fail in it.

use core::fmt;
use core::ops::Range;

use crate::abi::Abi;
use crate::header::{Flags, Header, Version};
use crate::section::Section;

mod function;
mod rules;

/// For whom a section is to be good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Policy {
    /// For anybody: what the specification says.
    Spec,
    /// For an unwinder of linked programs of this processor: besides, descriptors are sorted, and those of AArch64 are
    /// not flexible, which assemblers write there by mistake only.
    User(Abi),
    /// For the AArch64 Linux kernel's image: besides, nothing that a kernel must never meet. Only version 3, sorted,
    /// with starts relative to themselves; no auxiliary header, flexible descriptor, signal frame, repeated code
    /// or undefined return address; a frame that is 16-byte aligned, with the frame pointer saved below the
    /// return address, both inside the frame. As reviewers of the series "unwind, arm64: add sframe unwinder for
    /// kernel" ask for (2026).
    KernelArm64,
    /// For a module of it, which is linked with `ld -r` and sorted when it is loaded.
    KernelArm64Module,
}

impl Policy {
    /// Whether it is one of a kernel's.
    #[must_use]
    pub const fn is_kernel(self) -> bool {
        matches!(self, Self::KernelArm64 | Self::KernelArm64Module)
    }
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Odd, and harmless to a careful reader.
    Warning,
    /// Refused by the policy.
    Error,
}

/// Something that is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub code: Code,
    /// How bad.
    pub severity: Severity,
    /// Index of the descriptor; `None` for the header.
    pub fde: Option<u32>,
    /// First address of its function.
    pub start: Option<u64>,
    /// Offset of the row in the area of rows.
    pub row: Option<u32>,
    /// What was found: a count, an offset, a register.
    pub value: i64,
}

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $code:ident = $name:literal,)*) => {
        /// What can be wrong. Names are stable.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $code,)*
        }

        impl Code {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$code),*];

            /// Its stable name.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$code => $name,)* }
            }

            /// What it means, in a sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$code => concat!($($doc),+).trim_ascii(),)* }
            }
        }
    };
}

codes! {
    /// A version that is not 3.
    OldVersion = "old-version",
    /// An auxiliary header: no processor has one.
    AuxHeader = "aux-header",
    /// Descriptors are not said to be sorted.
    Unsorted = "unsorted",
    /// Descriptors are said to be sorted and are not.
    SortedLie = "sorted-lie",
    /// Start addresses do not count from their own field.
    NotPcrel = "not-pcrel",
    /// Another processor than the policy's.
    WrongAbi = "wrong-abi",
    /// A fixed offset of return address or frame pointer that this processor does not have.
    FixedOffset = "fixed-offset",
    /// No descriptors, or no rows.
    Empty = "empty",
    /// Descriptors and rows share bytes.
    PartsOverlap = "parts-overlap",
    /// The header says another count of rows than there are.
    RowCount = "row-count",
    /// Bytes of rows that belong to no function, or to several.
    RowBytes = "row-bytes",
    /// A descriptor or row contradicts itself.
    Malformed = "malformed",
    /// Bits that must be zero are not.
    ReservedBits = "reserved-bits",
    /// A function without instructions.
    ZeroSize = "zero-size",
    /// A function that begins in another one, or where another one begins.
    Overlap = "overlap",
    /// A function that goes past the end of the address space.
    AddressWraps = "address-wraps",
    /// A function that is not in the code the section is for.
    OutsideText = "outside-text",
    /// The section is not loaded.
    NotLoaded = "not-loaded",
    /// The first row begins behind the first instruction.
    LateRow = "late-row",
    /// A row does not begin behind the one in front of it.
    RowOrder = "row-order",
    /// A row begins behind the code it should describe.
    RowOutside = "row-outside",
    /// A flexible descriptor.
    Flexible = "flexible",
    /// A register that the processor does not have.
    Register = "register",
    /// A signal frame.
    SignalFrame = "signal-frame",
    /// A signal frame without rows: its rules could not be expressed.
    SignalWithoutRows = "signal-without-rows",
    /// Repeated code.
    RepeatedCode = "repeated-code",
    /// A return address that is undefined: the frame is said to be the last.
    Outermost = "outermost",
    /// A signed return address, or a key, on a processor without pointer authentication.
    SignedRa = "signed-ra",
    /// A CFA below the stack pointer.
    CfaBelowSp = "cfa-below-sp",
    /// A CFA that is not 16-byte aligned with an aligned stack pointer.
    CfaAlignment = "cfa-alignment",
    /// A register is saved outside of the frame, or not where a word can be.
    SaveOutside = "save-outside",
    /// The frame pointer is not saved below the return address.
    FpAboveRa = "fp-above-ra",
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let severity = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{severity}[{}]", self.code.name())?;
        if let Some((fde, start)) = self.fde.zip(self.start) {
            write!(f, " function {fde} at {start:#x}")?;
        } else if let Some(fde) = self.fde {
            write!(f, " function {fde}")?;
        }
        if let Some(row) = self.row {
            write!(f, " row at {row:#x}")?;
        }
        write!(f, ": {} ({})", self.code.meaning(), self.value)
    }
}

/// What a section has, and how much is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Findings that the policy refuses.
    pub errors: u64,
    /// Other findings.
    pub warnings: u64,
    /// Descriptors that could be read.
    pub functions: u64,
    /// Rows that could be read.
    pub rows: u64,
    /// Bytes of code that have rules, overlaps counted once for each.
    pub covered_bytes: u64,
}

/// What a section is for.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// Addresses of code, ascending and without overlap.
    pub text: &'a [Range<u64>],
    /// Whether the section is loaded with the code.
    pub is_loaded: bool,
}

/// Gives every finding to `finding_fn`, the header's first, then in the order of the section.
pub fn verify(
    section: &Section<'_>,
    policy: Policy,
    finding_fn: &mut dyn FnMut(Finding),
) -> Report {
    run(section, policy, None, finding_fn)
}

/// As [`verify`], and whether the functions are in the code that the section is for.
pub fn verify_in_place(
    section: &Section<'_>,
    policy: Policy,
    place: &Place<'_>,
    finding_fn: &mut dyn FnMut(Finding),
) -> Report {
    run(section, policy, Some(place), finding_fn)
}

fn run(
    section: &Section<'_>,
    policy: Policy,
    place: Option<&Place<'_>>,
    finding_fn: &mut dyn FnMut(Finding),
) -> Report {
    let mut check = Check {
        section,
        policy,
        place,
        report: Report::default(),
        finding_fn,
    };
    check.header(section.header());
    check.functions();
    check.report
}

/// A run over a section.
struct Check<'a, 'b> {
    section: &'a Section<'a>,
    policy: Policy,
    place: Option<&'a Place<'a>>,
    report: Report,
    finding_fn: &'b mut dyn FnMut(Finding),
}

/// Where something is.
#[derive(Clone, Copy, Debug, Default)]
struct At {
    fde: Option<u32>,
    start: Option<u64>,
    row: Option<u32>,
}

impl Check<'_, '_> {
    fn find(&mut self, severity: Severity, code: Code, place: At, value: i64) {
        let count = match severity {
            Severity::Error => &mut self.report.errors,
            Severity::Warning => &mut self.report.warnings,
        };
        *count = count.saturating_add(1);
        (self.finding_fn)(Finding {
            code,
            severity,
            fde: place.fde,
            start: place.start,
            row: place.row,
            value,
        });
    }

    fn error(&mut self, code: Code, place: At, value: i64) {
        self.find(Severity::Error, code, place, value);
    }

    fn warning(&mut self, code: Code, place: At, value: i64) {
        self.find(Severity::Warning, code, place, value);
    }

    /// An error for a kernel, and nothing or odd for others.
    fn kernel(&mut self, others: Option<Severity>, code: Code, place: At, value: i64) {
        if self.policy.is_kernel() {
            self.error(code, place, value);
        } else if let Some(severity) = others {
            self.find(severity, code, place, value);
        }
    }

    fn header(&mut self, header: &Header) {
        let place = At::default();
        let flags = i64::from(header.flags.0);
        if self.place.is_some_and(|place| !place.is_loaded) {
            self.kernel(Some(Severity::Warning), Code::NotLoaded, place, 0);
        }
        if header.version != Version::V3 {
            self.kernel(None, Code::OldVersion, place, header.version.raw().into());
        }
        if header.aux_len != 0 {
            let aux = header.aux_len.into();
            self.kernel(Some(Severity::Warning), Code::AuxHeader, place, aux);
        }
        let is_sorted_needed = matches!(self.policy, Policy::KernelArm64 | Policy::User(_));
        if !header.flags.contains(Flags::SORTED) && is_sorted_needed {
            self.error(Code::Unsorted, place, flags);
        }
        if !header.flags.contains(Flags::PCREL) {
            self.kernel(None, Code::NotPcrel, place, flags);
        }
        let is_wrong_abi = match self.policy {
            Policy::Spec => false,
            Policy::User(abi) => header.abi != abi,
            Policy::KernelArm64 | Policy::KernelArm64Module => !header.abi.is_aarch64(),
        };
        if is_wrong_abi {
            self.error(Code::WrongAbi, place, header.abi.raw().into());
        }
        if header.fixed_ra_offset != header.abi.fixed_ra_offset() {
            self.error(Code::FixedOffset, place, header.fixed_ra_offset.into());
        }
        if header.fixed_fp_offset != 0 {
            self.error(Code::FixedOffset, place, header.fixed_fp_offset.into());
        }
        if header.num_fdes == 0 || header.num_fres == 0 {
            self.kernel(None, Code::Empty, place, header.num_fdes.into());
        }
        let fdes_len = u64::from(header.num_fdes)
            .saturating_mul(u64::try_from(header.version.fde_len()).unwrap_or(u64::MAX));
        let (fdes, fres) = (u64::from(header.fdeoff), u64::from(header.freoff));
        let fdes_end = fdes.saturating_add(fdes_len);
        let fres_end = fres.saturating_add(header.fre_len.into());
        if fdes < fres_end && fres < fdes_end {
            self.error(Code::PartsOverlap, place, header.freoff.into());
        }
    }
}
