//! What the process that serves may do: as little as serving takes. The kernel says what it has.

use std::fs;
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use fairwater_e2e::proxy::{AS_ROOT, binary, signal_to};
use fairwater_e2e::{Client, Directory, Endpoint, Proxy, Setup, until};
use rustix::process::Signal;

/// A user of every Debian system, who owns nothing.
const NOBODY: u32 = 65534;

pub(crate) fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: this takes root");
    }
    is_root
}

/// What the kernel says of each thread of the process that serves.
fn assert_status(proxy: &Proxy, expected: &[(&str, &str)]) {
    let worker = proxy.worker_id();
    for task in fs::read_dir(format!("/proc/{worker}/task")).unwrap() {
        let status = fs::read_to_string(task.unwrap().path().join("status")).unwrap();
        for (name, value) in expected {
            let found = status.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
            let words = found.unwrap().split_whitespace().collect::<Vec<_>>().join(" ");
            assert_eq!(words, *value, "{name}: {status}");
        }
    }
}

const NO_CAPABILITIES: &str = "0000000000000000";
const OF_NOBODY: [(&str, &str); 9] = [
    ("Uid", "65534 65534 65534 65534"),
    ("Gid", "65534 65534 65534 65534"),
    ("Groups", "65534"),
    ("CapInh", NO_CAPABILITIES),
    ("CapPrm", NO_CAPABILITIES),
    ("CapEff", NO_CAPABILITIES),
    ("CapBnd", NO_CAPABILITIES),
    ("CapAmb", NO_CAPABILITIES),
    ("NoNewPrivs", "1"),
];

/// Nobody else of that user may look into it: the kernel gives its files to root.
fn is_dumpable(proxy: &Proxy) -> bool {
    fs::metadata(format!("/proc/{}/fd", proxy.worker_id())).unwrap().uid() == NOBODY
}

#[test]
fn a_worker_is_the_user_that_is_set_and_can_do_nothing_else() {
    if !is_root() {
        return;
    }
    let (endpoint, further) = (Endpoint::echo("e"), Endpoint::echo("f"));
    let setup = Setup::http(&[&endpoint]).threads(2).top("user = \"nobody\"");
    let state = setup.directory().join("state");
    let mut proxy = setup.top(&format!("state_dir = {state:?}")).start();
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    proxy.until_log(1);
    assert_status(&proxy, &OF_NOBODY);
    assert!(!is_dumpable(&proxy));
    let limits = fs::read_to_string(format!("/proc/{}/limits", proxy.worker_id())).unwrap();
    let cores = limits.lines().find(|line| line.starts_with("Max core file size")).unwrap();
    assert_eq!(cores.split_whitespace().nth(4), Some("0"), "{cores}");
    // What it keeps is its own, and what the master has bound works.
    let form = format!("address={}&persist=true", further.address);
    assert_eq!(proxy.order("POST", "/endpoints/app", &form).status(), 200);
    for path in [&state, &state.join("endpoints.toml"), &proxy.directory().join("access.log")] {
        assert_eq!(fs::metadata(path).unwrap().uid(), NOBODY, "{}", path.display());
    }
    assert_eq!(fs::metadata(proxy.directory().join("admin.sock")).unwrap().uid(), 0);
    // The master is who it was, and so it can make another.
    let first = proxy.worker_id();
    signal_to(first, Signal::KILL);
    until("another worker", || proxy.worker_id() != first);
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_status(&proxy, &OF_NOBODY);
    proxy.assert_sound();
}

#[test]
fn a_process_of_its_own_gives_up_the_same() {
    if !is_root() {
        return;
    }
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]).threads(2).flag("--single");
    let setup = setup.top("user = \"65534\"\ngroup = \"65534\"\ncore_dumps = true");
    let mut proxy = setup.start();
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_status(&proxy, &OF_NOBODY);
    assert!(is_dumpable(&proxy), "it is asked for");
    proxy.until_log(1);
    proxy.signal(Signal::TERM);
    assert!(proxy.until_ended().success());
}

/// The worker is sent to a file that root may well write, but that serving does not take.
#[test]
fn even_root_opens_no_other_files() {
    let endpoint = Endpoint::echo("e");
    let setup = Setup::http(&[&endpoint]);
    let (log, aside) = (setup.directory().join("log"), setup.directory().join("aside"));
    let elsewhere = setup.directory().join("elsewhere");
    fs::create_dir(&log).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    let proxy = setup.log(&format!("path = {:?}", log.join("access.log"))).start();
    assert_status(&proxy, &[("NoNewPrivs", "1"), ("CapInh", NO_CAPABILITIES)]);
    fs::rename(&log, &aside).unwrap();
    symlink(&elsewhere, &log).unwrap();
    proxy.signal(Signal::USR1);
    until("it to be refused", || proxy.said().contains("again: Permission denied"));
    assert!(!elsewhere.join("access.log").exists());
    // It goes on in the file that it has.
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    until("the line", || fs::metadata(aside.join("access.log")).unwrap().len() > 0);
}

#[test]
fn root_keeps_what_opens_the_sockets_of_others() {
    if !is_root() {
        return;
    }
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).start();
    // CAP_DAC_OVERRIDE alone.
    let left = "0000000000000002";
    assert_status(&proxy, &[("CapEff", left), ("CapPrm", left), ("CapBnd", left)]);
}

fn run(setup: &Setup, user: Option<u32>) -> (Option<i32>, String) {
    setup.write();
    let mut command = Command::new(binary());
    command.args(["run", "-c"]).arg(setup.directory().join("fairwater.toml"));
    if let Some(user) = user {
        command.uid(user);
    }
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut said = String::new();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    (child.wait().unwrap().code(), said)
}

#[test]
fn a_user_that_cannot_be_is_said_at_the_start() {
    for (lines, words) in [
        ("user = \"nobody-of-this-name\"", "there is no user `nobody-of-this-name`"),
        ("user = \"nobody\"\ngroup = \"none-of-this-name\"", "there is no group"),
    ] {
        let setup = Setup::of("http", &["127.0.0.1:1"]).top(lines);
        let (code, said) = run(&setup, None);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(words) && said.lines().count() == 1, "{said}");
    }
    if !is_root() {
        return;
    }
    let setup = Setup::of("http", &["127.0.0.1:1"]).top("user = \"root\"");
    let (code, said) = run(&setup, Some(NOBODY));
    assert!(code == Some(1) && said.contains("only root can become `root`"), "{said}");
    // A directory that is there must be one that the user can write to.
    let state = Directory::new();
    fs::set_permissions(state.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let lines = format!("user = \"nobody\"\nstate_dir = {:?}", state.path());
    let (code, said) = run(&Setup::of("http", &["127.0.0.1:1"]).top(&lines), None);
    assert!(code == Some(1) && said.contains("`chown -R 65534 "), "{said}");
}

#[test]
fn root_is_warned() {
    if !is_root() {
        return;
    }
    // It ends by itself, since the port is taken.
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = holder.local_addr().unwrap().to_string();
    for (user, expected) in [("", true), ("user = \"nobody\"", false), ("user = \"root\"", false)] {
        let setup = Setup::of("http", &["127.0.0.1:1"]).bind(&address).top(user);
        let (_, said) = run(&setup, None);
        assert_eq!(said.contains(AS_ROOT), expected, "{said}");
    }
}

/// What it takes in later is read by the master, which may read more.
#[test]
fn a_worker_without_rights_is_given_files_that_it_cannot_read() {
    if !is_root() {
        return;
    }
    let (first, second) = (Endpoint::echo("1"), Endpoint::echo("2"));
    let proxy = Setup::http(&[&first]).reloadable().top("user = \"nobody\"").start();
    let secrets = proxy.directory().join("secrets");
    fs::create_dir(&secrets).unwrap();
    fs::set_permissions(&secrets, fs::Permissions::from_mode(0o700)).unwrap();
    let upstream = format!("[upstreams.more]\nendpoints = [{:?}]\n", second.address);
    fs::write(secrets.join("more.toml"), upstream).unwrap();
    let worker = proxy.worker_id();
    let include = format!("include = [{:?}]\nuser", secrets.join("more.toml"));
    proxy.edit("user", &include);
    proxy.edit("upstream = \"app\"", "upstream = \"more\"");
    proxy.reload_well();
    assert_eq!(proxy.worker_id(), worker);
    assert!(Client::new(&proxy).get("/").status() == 200 && !second.requests().is_empty());
    assert_status(&proxy, &OF_NOBODY);
}

#[test]
fn another_user_takes_another_process() {
    if !is_root() {
        return;
    }
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).reloadable().top("user = \"root\"").start();
    let worker = proxy.worker_id();
    proxy.edit("user = \"root\"", "user = \"nobody\"");
    // Its files are those of the one before.
    let (code, said) = proxy.reload();
    assert!(code == 1 && said.contains("`chown 65534 "), "{said}");
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    chown(proxy.directory().join("access.log"), Some(NOBODY), Some(NOBODY)).unwrap();
    assert!(proxy.reload_well().contains("`user` takes a new process"));
    until("the first to end", || proxy.worker_id() != worker);
    assert_eq!(Client::new(&proxy).get("/").status(), 200);
    assert_status(&proxy, &OF_NOBODY);
    // One that cannot be leaves all as it is.
    proxy.edit("user = \"nobody\"", "user = \"nobody-of-this-name\"");
    let (code, said) = proxy.reload();
    assert!(code == 1 && said.contains("there is no user `nobody-of-this-name`"), "{said}");
    assert_status(&proxy, &OF_NOBODY);
}
