//! A few lines of makefile that look like a kernel tree, so that the whole build is tested in milliseconds.

use std::fs;
use std::path::{Path, PathBuf};

const MAKEFILE: &str = r#"
kernelversion:
	@cat version
kernelrelease:
	@echo "$$(cat version)+fake"
tinyconfig:
	@echo '# CONFIG_MODULES is not set' > $(O)/.config
olddefconfig:
	@grep -v -x -F -f dropped $(O)/.config > $(O)/.config.new
	@mv $(O)/.config.new $(O)/.config
bzImage:
	@test ! -e broken || { echo 'fake compile error'; exit 1; }
	@mkdir -p $(O)/arch/x86/boot $(O)/include/generated
	@echo '  CC      init/main.o'
	@cp image $(O)/arch/x86/boot/bzImage
	@touch $(O)/System.map $(O)/include/generated/autoconf.h
headers:
	@mkdir -p $(O)/usr/include/linux
	@touch $(O)/usr/include/linux/liveupdate.h
"#;

/// A folder that answers the make targets of the recipe.
#[derive(Debug)]
pub(crate) struct FakeTree {
    folder: PathBuf,
}

impl FakeTree {
    pub(crate) fn create(folder: &Path, version: &str) -> Self {
        let tree = Self {
            folder: folder.to_owned(),
        };
        fs::create_dir_all(folder.join("kernel")).unwrap();
        tree.write("Makefile", MAKEFILE);
        tree.write("Kconfig", "");
        tree.write("kernel/Makefile", "");
        tree.write("version", &format!("{version}\n"));
        tree.write("dropped", "CONFIG_NONE=y\n");
        tree.set_image("image 1");
        tree
    }

    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Makes `olddefconfig` drop an option that is `y`.
    pub(crate) fn drop_option(&self, option: &str) {
        self.write("dropped", &format!("{option}=y\n"));
    }

    /// Makes compiling fail from now on.
    pub(crate) fn break_build(&self) {
        self.write("broken", "");
    }

    pub(crate) fn set_image(&self, content: &str) {
        self.write("image", &format!("{content}\n"));
    }

    /// Lists the files at the top, to see that a build leaves none.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.folder).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.folder.join(name), text).unwrap();
    }
}
