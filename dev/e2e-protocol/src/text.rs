//! Bytes as JSON text.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Bytes that travel as a string in which each character is one byte (U+0000 to U+00FF).
///
/// Output of programs is text most of the time: it stays readable in a kept conversation and
/// costs one byte per byte, where base64 would hide it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bytes(pub Vec<u8>);

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text: String = self.0.iter().map(|byte| char::from(*byte)).collect();
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = text.chars().map(|character| {
            u8::try_from(character)
                .map_err(|_wide| D::Error::custom(format!("{character:?} is not one byte")))
        });
        bytes.collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_survive_a_round_trip(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let json = serde_json::to_string(&Bytes(bytes.clone())).unwrap();
            prop_assert!(!json.contains('\n'));
            prop_assert_eq!(serde_json::from_str::<Bytes>(&json).unwrap(), Bytes(bytes));
        }
    }

    #[test]
    fn text_outside_one_byte_is_refused() {
        let refused = serde_json::from_str::<Bytes>("\"\u{20ac}\"").unwrap_err();
        assert!(refused.to_string().contains("is not one byte"), "{refused}");
    }
}
