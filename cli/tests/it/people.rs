//! Tests what people see: colours on a terminal only, manual pages, and completions.

use crate::shell::Shell;

const ESCAPE: char = '\u{1b}';

#[test]
fn colours_come_when_asked_for_and_never_into_text_for_programs() {
    let shell = Shell::new().with("OTEL_USAGE_EXPORTERS", "fiel");
    for line in
        ["status", "preview --contract vllm", "probe", "contract ls", "receipts on", "off", "on"]
    {
        let plain = shell.run(line);
        assert!(!plain.out.contains(ESCAPE) && !plain.err.contains(ESCAPE), "{plain:?}");
        let coloured = shell.run(&format!("{line} --color always"));
        let told = format!("{}{}", coloured.out, coloured.err);
        assert!(told.contains(ESCAPE), "{line}: {told}");
        let never = shell.run(&format!("--color never {line}"));
        assert!(!never.out.contains(ESCAPE) && !never.err.contains(ESCAPE), "{line}");
    }
    for line in [
        "status --json",
        "preview --contract vllm --json",
        "preview --contract vllm --otlp",
        "probe --json",
        "contract ls --json",
        "sent --json",
        "schema",
    ] {
        let ran = shell.run(&format!("{line} --color always"));
        assert!(!ran.out.is_empty() && !ran.out.contains(ESCAPE), "{line}: {ran:?}");
    }
}

#[test]
fn every_subcommand_has_a_manual_page_and_a_completion() {
    let shell = Shell::new();
    let out = shell.home().join("man1");
    let ran = shell.run(&format!("man --out {}", out.display()));
    assert_eq!(ran.code, 0, "{}", ran.err);
    let script = shell.run("completions bash").out;
    for name in [
        "bridge", "config", "contract", "forget", "off", "preview", "probe", "receipts", "schema",
        "sent", "spool", "status",
    ] {
        let page = std::fs::read_to_string(out.join(format!("otel-usage-{name}.1"))).unwrap();
        assert!(page.contains(".SH NAME"), "{page}");
        assert!(script.contains(&format!("otel__usage,{name})")), "{name}: {script}");
    }
    assert!(out.join("otel-usage-contract-add.1").exists());
    let ran = shell.run("man --out /dev/null/x");
    assert!(ran.code == 1 && ran.err.contains("/dev/null/x cannot be written"), "{ran:?}");
}
