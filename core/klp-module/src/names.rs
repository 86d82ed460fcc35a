//! [`Names`]: the symbols of an image, each once.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::string::String;

use elf_index::{Binding, SymbolKind};

use crate::image::{Image, ImageSymbol, SectionNumber, SymbolNumber};

/// Symbols of an image by what they are for.
#[derive(Debug, Default)]
pub(crate) struct Names {
    sections: BTreeMap<SectionNumber, SymbolNumber>,
    undefined: BTreeMap<String, SymbolNumber>,
}

impl Names {
    /// The symbol of a section.
    pub(crate) fn section(&mut self, number: SectionNumber, image: &mut Image<'_>) -> SymbolNumber {
        *self.sections.entry(number).or_insert_with(|| {
            image.add_symbol(ImageSymbol {
                name: Cow::Borrowed(""),
                section: Some(number),
                value: 0,
                size: 0,
                kind: SymbolKind::SECTION,
                binding: Binding::LOCAL,
                other: 0,
            })
        })
    }

    /// A symbol that another file defines; a weak one may be missing.
    pub(crate) fn undefined(
        &mut self,
        name: &str,
        binding: Binding,
        image: &mut Image<'_>,
    ) -> SymbolNumber {
        if let Some(number) = self.undefined.get(name) {
            return *number;
        }
        let number = image.add_symbol(ImageSymbol {
            name: Cow::Owned(name.into()),
            section: None,
            value: 0,
            size: 0,
            kind: SymbolKind::NONE,
            binding,
            other: 0,
        });
        self.undefined.insert(name.into(), number);
        number
    }
}
