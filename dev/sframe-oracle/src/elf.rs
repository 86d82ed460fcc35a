//! What a recording takes from the program's file.

use anyhow::{Context as _, Result};
use object::{Object as _, ObjectSection as _, ObjectSymbol as _};

use crate::machine::Machine;

/// A program's code and unwind data.
#[derive(Debug)]
pub(crate) struct Program {
    pub(crate) machine: Machine,
    pub(crate) text_addr: u64,
    pub(crate) text: Vec<u8>,
    pub(crate) sframe_addr: u64,
    pub(crate) sframe: Vec<u8>,
    pub(crate) handler: Option<u64>,
    pub(crate) restorer: Option<u64>,
}

impl Program {
    pub(crate) fn read(bytes: &[u8]) -> Result<Self> {
        let file = object::File::parse(bytes).context("read the program")?;
        let section = |name: &str| {
            let section = file.section_by_name(name);
            let section = section.with_context(|| format!("the program has no {name}"))?;
            let data = section.data()?.to_vec();
            anyhow::Ok((section.address(), data))
        };
        let symbol = |name: &str| {
            let mut symbols = file.symbols();
            let found = symbols.find(|symbol| symbol.name() == Ok(name) && symbol.is_definition());
            found.map(|symbol| symbol.address())
        };
        let (text_addr, text) = section(".text")?;
        let (sframe_addr, sframe) = section(".sframe")?;
        Ok(Self {
            machine: Machine::of_elf(file.architecture())?,
            text_addr,
            text,
            sframe_addr,
            sframe,
            handler: symbol("on_signal"),
            restorer: symbol("restorer"),
        })
    }

    /// What is from an address on in its code.
    pub(crate) fn code(&self, addr: u64) -> Option<&[u8]> {
        let at = usize::try_from(addr.checked_sub(self.text_addr)?).ok()?;
        self.text.get(at..)
    }
}
