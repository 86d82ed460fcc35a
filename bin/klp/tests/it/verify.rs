//! What `klp verify --json` prints, beside its schema.

use crate::compile::{Workshop, klp, run};

#[test]
fn verify_prints_what_its_schema_says() {
    let workshop = Workshop::new();
    let module =
        ".section .modinfo,\"a\"\n.asciz \"name=m\"\n.asciz \"livepatch=Y\"\n.text\nonce: nop\n";
    let module = workshop.asm("m", module);
    let object = workshop.asm("kernel", ".text\n.globl f\nf: nop\n");
    let vmlinux = workshop.path("vmlinux");
    run(std::process::Command::new("ld")
        .args(["-e", "f", "-o"])
        .arg(&vmlinux)
        .arg(&object));
    let output = klp([
        "verify".as_ref(),
        "--json".as_ref(),
        module.as_os_str(),
        "--vmlinux".as_ref(),
        vmlinux.as_os_str(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let printed = json_schemas::check_output("klp", &["verify"], &text).unwrap();
    assert_eq!(printed[0]["errors"], 1, "{text}");
    let schema = klp(["schema"]);
    let expected = json_schemas::find("klp", "verify").unwrap().text;
    assert_eq!(schema.stdout, expected.as_bytes());
}
