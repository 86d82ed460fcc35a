//! A block of LZO1X. Words of `Documentation/staging/lzo.rst`, v7.3: an *instruction* copies
//! *literals* from the input or a *match* from what was unpacked; the *state* is how many literals
//! the instruction before has copied, 4 for four or more.

use core::slice;

/// State after four literals or more.
const MANY: usize = 4;
/// A first byte above it stands for literals.
const FIRST_BIAS: u8 = 17;

/// Unpacks a block behind `data`, whose length is `end` then.
///
/// # Errors
/// What is wrong with it.
pub(super) fn decompress(block: &[u8], data: &mut Vec<u8>, end: usize) -> Result<(), &'static str> {
    let start = data.len();
    let mut decoder = Decoder {
        input: block.iter(),
        data,
        start,
        end,
    };
    let mut state = decoder.first()?;
    while let Some(next) = decoder.step(state)? {
        state = next;
    }
    if decoder.input.as_slice().is_empty() && decoder.data.len() == end {
        Ok(())
    } else {
        Err("it ends where it should not")
    }
}

struct Decoder<'a> {
    input: slice::Iter<'a, u8>,
    data: &'a mut Vec<u8>,
    start: usize,
    end: usize,
}

impl Decoder<'_> {
    fn byte(&mut self) -> Result<usize, &'static str> {
        let byte = self.input.next().ok_or("an instruction is cut")?;
        Ok(usize::from(*byte))
    }

    /// Literals that stand before the first instruction.
    fn first(&mut self) -> Result<usize, &'static str> {
        let first = self.input.as_slice().first();
        let Some(count) = first.and_then(|first| first.checked_sub(FIRST_BIAS)) else {
            return Ok(0);
        };
        if count == 0 {
            return Ok(0);
        }
        self.byte()?;
        let count = usize::from(count);
        self.literals(count)?;
        Ok(count.min(MANY))
    }

    /// One instruction; the state after it, or nothing at the end.
    #[expect(clippy::arithmetic_side_effects, reason = "sums of parts of two bytes")]
    fn step(&mut self, state: usize) -> Result<Option<usize>, &'static str> {
        let code = self.byte()?;
        let (length, distance, literals) = match (code, state) {
            (0..=15, 0) => {
                let count = self.extended(code, 15)?.saturating_add(3);
                self.literals(count)?;
                return Ok(Some(MANY));
            }
            (0..=15, MANY) => (3, (code >> 2) + (self.byte()? << 2) + 0x801, code & 3),
            (0..=15, _) => (2, (code >> 2) + (self.byte()? << 2) + 1, code & 3),
            (16..=31, _) => {
                let length = self.extended(code & 7, 7)?.saturating_add(2);
                let (low, literals) = self.far()?;
                let distance = low + ((code & 8) << 11);
                if distance == 0 {
                    return Ok(None);
                }
                (length, distance + 0x4000, literals)
            }
            (32..=63, _) => {
                let length = self.extended(code & 31, 31)?.saturating_add(2);
                let (low, literals) = self.far()?;
                (length, low + 1, literals)
            }
            _ => {
                let distance = ((code >> 2) & 7) + (self.byte()? << 3) + 1;
                ((code >> 5) + 1, distance, code & 3)
            }
        };
        self.copy(length, distance)?;
        self.literals(literals)?;
        Ok(Some(literals))
    }

    /// A length that goes on in further bytes when its own bits are zero.
    fn extended(&mut self, bits: usize, all: usize) -> Result<usize, &'static str> {
        if bits != 0 {
            return Ok(bits);
        }
        let mut length = all;
        loop {
            match self.byte()? {
                0 => length = length.saturating_add(255),
                last => return Ok(length.saturating_add(last)),
            }
        }
    }

    /// Distance and number of literals in two bytes.
    #[expect(clippy::arithmetic_side_effects, reason = "sums of parts of two bytes")]
    fn far(&mut self) -> Result<(usize, usize), &'static str> {
        let (low, high) = (self.byte()?, self.byte()?);
        Ok(((low >> 2) + (high << 6), low & 3))
    }

    fn has_room(&self, count: usize) -> Result<(), &'static str> {
        if self.data.len().saturating_add(count) > self.end {
            Err("it unpacks to more than it says")
        } else {
            Ok(())
        }
    }

    fn literals(&mut self, count: usize) -> Result<(), &'static str> {
        self.has_room(count)?;
        let rest = self.input.as_slice();
        let (literals, rest) = rest.split_at_checked(count).ok_or("literals are cut")?;
        self.data.extend_from_slice(literals);
        self.input = rest.iter();
        Ok(())
    }

    /// A match may overlap what it makes.
    fn copy(&mut self, length: usize, distance: usize) -> Result<(), &'static str> {
        self.has_room(length)?;
        let from = self.data.len().checked_sub(distance);
        let from = from
            .filter(|&from| from >= self.start)
            .ok_or("a match is before the start")?;
        for at in (from..).take(length) {
            let byte = self.data.get(at).copied().unwrap_or_default();
            self.data.push(byte);
        }
        Ok(())
    }
}
