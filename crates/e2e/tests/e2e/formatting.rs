//! `fairwater fmt`: what becomes of the files.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};

use fairwater_e2e::Directory;
use fairwater_e2e::proxy::binary;

const UGLY: &str = "#  kept\n[ listeners . web ]\n'bind'=[ \":80\", ] # all\nunknown = {a=1}\r\n";
const PRETTY: &str = "#  kept\n[listeners.web]\nbind = [\":80\"]  # all\nunknown = { a = 1 }\n";

struct Outcome {
    code: i32,
    out: String,
    err: String,
}

/// Runs `fairwater fmt` within a directory, as a user would.
fn fmt(directory: &Directory, arguments: &[&str], stdin: &[u8]) -> Outcome {
    let mut child = Command::new(binary())
        .arg("fmt")
        .args(arguments)
        .current_dir(directory.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(stdin).unwrap();
    let output = child.wait_with_output().unwrap();
    Outcome {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

fn write(directory: &Directory, name: &str, text: &str) {
    fs::write(directory.join(name), text).unwrap();
}

fn read(directory: &Directory, name: &str) -> String {
    fs::read_to_string(directory.join(name)).unwrap()
}

fn names(path: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_file_is_formatted_in_place_and_only_if_it_must_be() {
    let directory = Directory::new();
    write(&directory, "fairwater.toml", UGLY);
    let path = directory.join("fairwater.toml");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
    // Only root can give a file away.
    chown(&path, Some(65_534), Some(65_534)).ok();
    let before = fs::metadata(&path).unwrap();

    let done = fmt(&directory, &[], b"");
    assert_eq!((done.code, done.out.as_str()), (0, ""), "{}", done.err);
    assert_eq!(done.err, "fairwater: fairwater.toml is formatted now\n");
    assert_eq!(read(&directory, "fairwater.toml"), PRETTY);
    let after = fs::metadata(&path).unwrap();
    let identity = |of: &fs::Metadata| (of.mode(), of.uid(), of.gid());
    assert_eq!(identity(&after), identity(&before));
    assert_eq!(names(directory.path()), ["fairwater.toml"], "nothing is left behind");

    let done = fmt(&directory, &["-c", "fairwater.toml"], b"");
    assert_eq!((done.code, done.out + &done.err), (0, String::new()));
    let untouched = fs::metadata(&path).unwrap();
    assert_eq!((untouched.ino(), untouched.ctime_nsec()), (after.ino(), after.ctime_nsec()));
}

#[test]
fn check_names_the_files_and_writes_nothing() {
    let directory = Directory::new();
    write(&directory, "a.toml", UGLY);
    write(&directory, "b.toml", PRETTY);
    let done = fmt(&directory, &["--check", "-c", "a.toml", "-c", "b.toml", "-c", "./a.toml"], b"");
    assert_eq!((done.code, done.out.as_str()), (1, "a.toml\n"), "{}", done.err);
    assert_eq!(read(&directory, "a.toml"), UGLY);
    let done = fmt(&directory, &["--check", "--config", "b.toml"], b"");
    assert_eq!((done.code, done.out + &done.err), (0, String::new()));
}

#[test]
fn included_files_are_formatted_too() {
    let directory = Directory::new();
    fs::create_dir(directory.join("conf.d")).unwrap();
    write(&directory, "fairwater.toml", "include=['conf.d/*.toml','none.d/*.toml']\n");
    write(&directory, "conf.d/a.toml", "include = 'nested'\n[routes]\nx=1");
    write(&directory, "conf.d/broken.toml", "a = \n");
    write(&directory, "conf.d/c.toml", UGLY);
    write(&directory, "conf.d/nested", "threads=2");
    let done = fmt(&directory, &[], b"");
    assert_eq!(done.code, 1);
    assert!(
        done.err.contains("E0003") && done.err.contains("conf.d/broken.toml:1"),
        "{}",
        done.err
    );
    assert!(done.err.contains("W0002"), "{}", done.err);
    let list = "include = ['conf.d/*.toml', 'none.d/*.toml']\n";
    assert_eq!(read(&directory, "fairwater.toml"), list);
    assert_eq!(read(&directory, "conf.d/a.toml"), "include = 'nested'\n\n[routes]\nx = 1\n");
    assert_eq!(read(&directory, "conf.d/broken.toml"), "a = \n", "left alone");
    assert_eq!(read(&directory, "conf.d/c.toml"), PRETTY);
    assert_eq!(read(&directory, "conf.d/nested"), "threads = 2\n");
    assert_eq!(names(&directory.join("conf.d")), ["a.toml", "broken.toml", "c.toml", "nested"]);
}

#[test]
fn a_link_stays_one() {
    let directory = Directory::new();
    fs::create_dir(directory.join("real")).unwrap();
    write(&directory, "real/site", UGLY);
    symlink("real/site", directory.join("fairwater.toml")).unwrap();
    let done = fmt(&directory, &[], b"");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(directory.join("fairwater.toml").is_symlink());
    assert_eq!(read(&directory, "real/site"), PRETTY);
    assert_eq!(names(directory.path()), ["fairwater.toml", "real"]);
    assert_eq!(names(&directory.join("real")), ["site"]);
}

#[test]
fn editors_use_standard_input_and_output() {
    let directory = Directory::new();
    let done = fmt(&directory, &["-c", "-"], UGLY.as_bytes());
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (0, PRETTY, ""));
    let done = fmt(&directory, &["--check", "-c", "-"], UGLY.as_bytes());
    assert_eq!((done.code, done.out.as_str(), done.err.as_str()), (1, "<stdin>\n", ""));
    let done = fmt(&directory, &["--check", "-c", "-"], PRETTY.as_bytes());
    assert_eq!((done.code, done.out + &done.err), (0, String::new()));
    let done = fmt(&directory, &["-c", "-"], b"a = 1\nb = ]\n");
    assert_eq!((done.code, done.out.as_str()), (1, ""));
    assert!(done.err.contains("E0003") && done.err.contains("<stdin>:2"), "{}", done.err);
    assert_eq!(names(directory.path()), [""; 0]);
}

#[test]
fn what_cannot_be_formatted_is_told() {
    let directory = Directory::new();
    write(&directory, "good.toml", UGLY);
    fs::create_dir(directory.join("directory.toml")).unwrap();
    let arguments = ["-c", "missing.toml", "-c", "directory.toml", "-c", "good.toml"];
    let done = fmt(&directory, &arguments, b"");
    assert_eq!(done.code, 1);
    assert!(done.err.contains("missing.toml: No such file"), "{}", done.err);
    assert!(done.err.contains("directory.toml: it is not a file"), "{}", done.err);
    assert_eq!(read(&directory, "good.toml"), PRETTY, "the others are formatted");
}
