//! What a row says, the same for every version and processor.

/// A row: rules that hold from its start to that of the next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// First byte of the function, or of its repeated block, that it is good for.
    pub start: u32,
    /// How to get to the caller.
    pub unwind: Unwind,
}

/// How to get from a frame to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unwind {
    /// There is no caller: the return address is undefined.
    Outermost,
    /// By these rules.
    Caller(Rules),
}

/// Where the registers of the caller are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The canonical frame address: the stack pointer of the caller before its call.
    pub cfa: CfaRule,
    /// The return address.
    pub ra: Recovery,
    /// The frame pointer of the caller.
    pub fp: Recovery,
    /// Whether the return address carries a pointer authentication code (AArch64).
    pub is_ra_signed: bool,
}

/// A register that a CFA is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Base {
    /// The stack pointer.
    Sp,
    /// The frame pointer.
    Fp,
    /// Another register, by its DWARF number: known in the topmost frame only.
    Register(u32),
}

/// Where the CFA is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CfaRule {
    /// base + offset.
    Offset {
        /// The register.
        base: Base,
        /// Bytes.
        offset: i32,
    },
    /// The word at base + offset; flexible descriptors only.
    Load {
        /// The register.
        base: Base,
        /// Bytes.
        offset: i32,
    },
}

/// Where the caller's value of a register is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// In the register itself. For a return address: in the link register.
    Unchanged,
    /// In the word at CFA + offset.
    Saved(i32),
    /// It is CFA + offset; flexible descriptors only.
    CfaOffset(i32),
    /// It is register + offset; flexible descriptors, and version 2 for s390x with offset 0.
    Register {
        /// The register.
        base: Base,
        /// Bytes.
        offset: i32,
    },
    /// In the word at register + offset; flexible descriptors only.
    RegisterLoad {
        /// The register.
        base: Base,
        /// Bytes.
        offset: i32,
    },
}
