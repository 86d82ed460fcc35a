//! The configuration fragment: what the kernels must have, and the proof that they do.

use std::collections::BTreeMap;
use std::fmt;

use crate::config_hash::ConfigHash;
use crate::rust_toolchain::rustc_version;

/// Raised when the way a kernel is built or kept changes, so that old entries of the cache are not taken for new ones.
const RECIPE_VERSION: u32 = 1;

/// Options asked for on top of `make tinyconfig`.
#[derive(Clone, Debug)]
pub struct Fragment {
    text: String,
    asked: BTreeMap<String, String>,
}

impl Fragment {
    /// Returns the fragment of this project, `config/liveupdate.config`.
    pub fn liveupdate() -> Self {
        Self::parse(include_str!("../config/liveupdate.config"))
    }

    /// Returns the fragment of kernels that are livepatched, `config/livepatch.config`.
    pub fn livepatch() -> Self {
        Self::parse(include_str!("../config/livepatch.config"))
    }

    /// Returns the fragment of kernels that load modules in Rust, `config/rust.config`, with the compiler in `PATH`: a
    /// module loads only into a kernel of the same one.
    pub fn rust() -> Self {
        let text = include_str!("../config/rust.config");
        let compiler = rustc_version();
        Self::parse(&format!("{text}CONFIG_RUSTC_VERSION_TEXT=\"{compiler}\"\n"))
    }

    /// Reads `CONFIG_X=value` and `# CONFIG_X is not set` lines; other lines are comments.
    pub fn parse(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            asked: options(text),
        }
    }

    /// Returns the fragment as it is appended to a `.config`.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Returns the key of this configuration in the cache; comments and order do not change it.
    pub fn hash(&self) -> ConfigHash {
        let mut canonical = format!("recipe {RECIPE_VERSION}\n");
        for (option, value) in &self.asked {
            canonical.push_str(&format!("{option}={value}\n"));
        }
        ConfigHash::of(canonical.as_bytes())
    }

    /// Lists the options of the fragment that a final `.config` does not have as asked.
    pub fn lost_in(&self, config: &str) -> Vec<LostOption> {
        let found = options(config);
        self.asked
            .iter()
            .filter(|(option, asked)| {
                let value = found.get(*option).map_or("n", String::as_str);
                value != asked.as_str()
            })
            .map(|(option, asked)| LostOption {
                option: option.clone(),
                asked: asked.clone(),
                found: found.get(option).cloned(),
            })
            .collect()
    }
}

/// An option that `make olddefconfig` dropped or changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LostOption {
    /// `CONFIG_…`.
    pub option: String,
    /// The value the fragment asks for.
    pub asked: String,
    /// The value in the final `.config`; `None` when the option is not there at all.
    pub found: Option<String>,
}

impl fmt::Display for LostOption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: asked for {}, found ", self.option, self.asked)?;
        match self.found.as_deref() {
            Some("n") => f.write_str("it not set: something in its Kconfig `depends on` is off"),
            Some(value) => write!(f, "{value}"),
            None => f.write_str("nothing: this kernel does not know it, or a parent menu is off"),
        }
    }
}

/// Reads the options of a fragment or a `.config`; the last value of an option wins, as in Kconfig.
fn options(text: &str) -> BTreeMap<String, String> {
    let mut options = BTreeMap::new();
    for line in text.lines().map(str::trim) {
        let unset = line
            .strip_prefix("# ")
            .and_then(|rest| rest.strip_suffix(" is not set"))
            .filter(|name| name.starts_with("CONFIG_"));
        if let Some(name) = unset {
            options.insert(name.to_owned(), "n".to_owned());
        } else if line.starts_with("CONFIG_") {
            if let Some((name, value)) = line.split_once('=') {
                options.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lost_option_is_listed_with_what_was_found() {
        let fragment =
            Fragment::parse("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=y\nCONFIG_D=\"x\"\nCONFIG_E=y\n");
        let config = "CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_D=\"z\"\nCONFIG_E=m\n";
        let lost: Vec<_> = fragment
            .lost_in(config)
            .into_iter()
            .map(|lost| (lost.option, lost.found))
            .collect();
        assert_eq!(
            lost,
            [
                ("CONFIG_B".into(), Some("n".into())),
                ("CONFIG_C".into(), None),
                ("CONFIG_D".into(), Some("\"z\"".into())),
                ("CONFIG_E".into(), Some("m".into())),
            ]
        );
    }

    #[test]
    fn an_option_asked_to_be_off_may_be_absent_but_not_on() {
        let fragment = Fragment::parse("# CONFIG_A is not set\n# CONFIG_B is not set\n");
        let lost = fragment.lost_in("CONFIG_B=y\n");
        assert_eq!(lost.len(), 1);
        assert_eq!(lost[0].option, "CONFIG_B");
    }

    #[test]
    fn hash_follows_options_and_not_comments_or_order() {
        let first = Fragment::parse("# why\nCONFIG_A=y\nCONFIG_B=y\n").hash();
        assert_eq!(first, Fragment::parse("CONFIG_B=y\nCONFIG_A=y\n").hash());
        assert_ne!(first, Fragment::parse("CONFIG_A=y\nCONFIG_B=m\n").hash());
    }

    #[test]
    fn own_fragment_asks_for_live_update() {
        let fragment = Fragment::liveupdate();
        let lost = fragment.lost_in("");
        for option in [
            "CONFIG_LIVEUPDATE",
            "CONFIG_KEXEC_HANDOVER",
            "CONFIG_KERNEL_GZIP",
        ] {
            assert!(lost.iter().any(|lost| lost.option == option), "{option}");
        }
    }
}
