//! Comparison of Debian package versions, by the rules of `dpkg`.

use std::process::Command;

use crate::error::Error;

/// Returns the greatest of some Debian versions, or `None` of none.
pub(crate) fn newest<T>(
    candidates: impl IntoIterator<Item = T>,
    version_fn: impl Fn(&T) -> &str,
) -> Result<Option<T>, Error> {
    let mut best: Option<T> = None;
    for candidate in candidates {
        let replaces = match &best {
            None => true,
            Some(best) => is_greater(version_fn(&candidate), version_fn(best))?,
        };
        if replaces {
            best = Some(candidate);
        }
    }
    Ok(best)
}

fn is_greater(left: &str, right: &str) -> Result<bool, Error> {
    Command::new("dpkg")
        .args(["--compare-versions", left, "gt", right])
        .status()
        .map(|status| status.success())
        .map_err(|source| Error::Spawn {
            program: "dpkg".to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn newest_of<'a>(versions: &[&'a str]) -> Option<&'a str> {
        newest(versions.iter().copied(), |version| *version).unwrap()
    }

    #[test]
    fn numbers_count_and_tildes_sort_before_everything() {
        assert_eq!(
            newest_of(&["7.2.9-1", "7.2.13-1", "7.2.2-1"]),
            Some("7.2.13-1")
        );
        assert_eq!(
            newest_of(&["7.3~rc7-1~exp1", "7.3.4-1~bpo13+1", "7.3.3-1"]),
            Some("7.3.4-1~bpo13+1")
        );
        assert_eq!(newest_of(&["7.3.4-1", "7.3.4-1~bpo13+1"]), Some("7.3.4-1"));
        assert_eq!(newest_of(&[]), None);
    }
}
