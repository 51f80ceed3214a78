//! `ringway check` as an operator sees it: all mistakes of a file in one run.

use crate::world::{Folder, Server};

const WRONG: &str = r#"[sip]
domains = ["office.example.com", "sip:office"]
listn   = ["udp://0.0.0.0:5060"]
listen  = ["udp://0.0.0.0:5060", "tls://0.0.0.0:5061"]

[registrar]
expires = { min = "10m", max = "60s" }

[auth]
enabled = false
algorithms = ["SHA256"]

[limits]
trusted = ["192.168.0.0/33"]

[stroe]
url = "file:./ringway-data"
"#;

#[test]
fn all_mistakes_in_one_run() {
    let folder = Folder::new();
    folder.write("ringway.toml", WRONG);
    let done = folder.run(&["check"], "");
    assert_eq!(done.code, 1);
    insta::assert_snapshot!("all_mistakes", done.out + &done.err);
    assert_eq!(folder.run(&["run"], "").code, 7);
}

#[test]
fn one_object_per_mistake() {
    let folder = Folder::new();
    folder.write("ringway.toml", WRONG);
    let done = folder.run(&["check", "--json"], "");
    assert_eq!((done.code, done.err.as_str()), (1, ""));
    for line in done.out.lines() {
        let mistake: serde_json::Value = serde_json::from_str(line).expect("an object");
        assert!(mistake["code"].is_string() && mistake["line"].is_u64(), "{line}");
    }
    assert_eq!(done.out.lines().count(), 8);
}

#[test]
fn as_workflow_commands() {
    let folder = Folder::new();
    folder.write("ringway.toml", "[sip]\nlistn = 3\n[auth]\nenabled = false\n");
    let done = folder.run(&["check", "--format", "github"], "");
    assert_eq!((done.code, done.err.as_str()), (1, ""));
    let lines: Vec<&str> = done.out.lines().collect();
    assert_eq!(
        lines[0],
        "::error file=ringway.toml,line=2,col=1,title=unknown-key::`listn` is not a setting of [sip]: did you mean `listen`?"
    );
    assert!(lines[1].starts_with("::warning file=ringway.toml,line=4,col=11,title=no-auth::"));
    let quiet = folder.run(&["check", "-q", "--json"], "");
    assert_eq!((quiet.code, quiet.out.as_str(), quiet.err.as_str()), (1, "", ""));
}

#[test]
fn a_warning_is_no_error_unless_strict() {
    let folder = Folder::new();
    folder.write("lab.toml", "[auth]\nenabled = false\n");
    let done = folder.run(&["check", "-c", "lab.toml"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(done.out.contains("warning[no-auth]"), "{done:?}");
    assert_eq!(folder.run(&["check", "-c", "lab.toml", "--strict"], "").code, 1);
    assert_eq!(folder.run(&["check", "-c", "missing.toml"], "").code, 1);
    assert_eq!(folder.run(&["check"], "").code, 0);
    assert!(Folder::empty().run(&["check"], "").err.contains("no configuration found"));
}

/// Less careful than the default: told by `check`, counted by `--strict`, and nothing `run` nags about.
#[test]
fn deviations_from_the_defaults_are_told() {
    let folder = Folder::new();
    let file =
        "[sip]\ndomains = [\"127.0.0.1\"]\nallow_inbound = true\n[auth]\nban = { after = 0 }\n";
    folder.write("ringway.toml", file);
    let done = folder.run(&["check"], "");
    assert_eq!(done.code, 0, "{done:?}");
    insta::assert_snapshot!("deviations", done.out + &done.err);
    assert_eq!(folder.run(&["check", "--strict"], "").code, 1);
    let github = folder.run(&["check", "--format", "github"], "").out;
    assert!(github.starts_with("::notice file=ringway.toml,line=3,"), "{github}");
    let server = Server::start(&folder, &[]);
    folder.write("ringway.toml", &file.replace("after = 0", "after = 30"));
    let reloaded = folder.run(&["reload"], "");
    assert!(reloaded.err.starts_with("ringway.toml is in force"), "{reloaded:?}");
    let err = server.stop().err;
    assert!(!err.contains("foreign-callers"), "{err}");
}

/// A note is nothing to mend: it never makes `check` fail.
#[test]
fn sound_behind_nats_is_a_note() {
    let folder = Folder::new();
    folder.write("office.toml", "[sip]\ndomains = [\"sip.example.com\"]\n");
    let done = folder.run(&["check", "-c", "office.toml", "--strict"], "");
    assert_eq!(done.code, 0, "{done:?}");
    assert!(
        done.out.starts_with("note[nat-media]: phones of sip.example.com behind NATs"),
        "{done:?}"
    );
    assert!(done.err.contains("valid"), "{done:?}");
    let json = folder.run(&["check", "-c", "office.toml", "--json"], "");
    let note: serde_json::Value = serde_json::from_str(&json.out).expect("one object");
    assert_eq!(note["severity"], "note");
    folder.write("lan.toml", "[sip]\ndomains = [\"pbx.lan\"]\n");
    assert_eq!(folder.run(&["check", "-c", "lan.toml"], "").out, "");
}
