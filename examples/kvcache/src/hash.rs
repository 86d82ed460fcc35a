//! SipHash: the keyed hash of the index and the checksum of the header.
//!
//! It is part of the arena's layout (hashes are stored), so it cannot be the standard library's,
//! which may change. Reference: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.

/// SipHash-1-3: one round for each word, three at the end.
pub(crate) fn siphash13(key: [u64; 2], bytes: &[u8]) -> u64 {
    siphash::<1, 3>(key, bytes)
}

fn siphash<const C: usize, const D: usize>(key: [u64; 2], bytes: &[u8]) -> u64 {
    let [k0, k1] = key;
    let mut v = [
        k0 ^ 0x736f_6d65_7073_6575,
        k1 ^ 0x646f_7261_6e64_6f6d,
        k0 ^ 0x6c79_6765_6e65_7261,
        k1 ^ 0x7465_6462_7974_6573,
    ];
    let (words, rest) = bytes.as_chunks::<8>();
    for word in words {
        absorb::<C>(&mut v, u64::from_le_bytes(*word));
    }
    let [length, ..] = bytes.len().to_le_bytes();
    let mut last = [0, 0, 0, 0, 0, 0, 0, length];
    for (slot, byte) in last.iter_mut().zip(rest) {
        *slot = *byte;
    }
    absorb::<C>(&mut v, u64::from_le_bytes(last));
    v[2] ^= 0xff;
    for _ in 0..D {
        round(&mut v);
    }
    v[0] ^ v[1] ^ v[2] ^ v[3]
}

#[inline]
fn absorb<const C: usize>(v: &mut [u64; 4], word: u64) {
    v[3] ^= word;
    for _ in 0..C {
        round(v);
    }
    v[0] ^= word;
}

#[inline]
fn round(v: &mut [u64; 4]) {
    v[0] = v[0].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(13) ^ v[0];
    v[0] = v[0].rotate_left(32);
    v[2] = v[2].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(16) ^ v[2];
    v[0] = v[0].wrapping_add(v[3]);
    v[3] = v[3].rotate_left(21) ^ v[0];
    v[2] = v[2].wrapping_add(v[1]);
    v[1] = v[1].rotate_left(17) ^ v[2];
    v[2] = v[2].rotate_left(32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_the_published_one() {
        // The paper's own example for SipHash-2-4: key 00 01 .. 0f, input 00 01 .. 0e.
        let key = [0x0706_0504_0302_0100, 0x0f0e_0d0c_0b0a_0908];
        let input: Vec<u8> = (0..15).collect();
        assert_eq!(siphash::<2, 4>(key, &input), 0xa129_ca61_49be_45e5);
    }

    #[test]
    fn stored_hashes_do_not_change_between_builds() {
        assert_eq!(siphash13([1, 2], b"key:0000000001"), 0x2fb6_2744_cf2f_4079);
        assert_ne!(siphash13([1, 2], b"a"), siphash13([1, 3], b"a"));
        assert_ne!(siphash13([1, 2], b"a"), siphash13([1, 2], b"a\0"));
    }
}
