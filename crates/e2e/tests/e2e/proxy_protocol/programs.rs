//! HAProxy and nginx on either side.

use std::process::Command;

use fairwater_e2e::{Client, Directory, Endpoint, Setup, until};

use crate::peers::{Server, free_address, nginx, program};

const REQUIRED: &str = "proxy_protocol = { from = \"127.0.0.1\" }";

/// HAProxy between two addresses, with words behind each.
fn haproxy(directory: &Directory, mode: &str, front: &str, back: &str) -> Option<Command> {
    let haproxy = program("haproxy")?;
    let text = format!(
        "defaults\n mode {mode}\n timeout connect 5s\n timeout client 20s\n timeout server 20s\n\
         frontend f\n bind {front}\n unique-id-format id-%rt\n default_backend b\n\
         backend b\n server s {back}\n"
    );
    std::fs::write(directory.join("haproxy.cfg"), text).unwrap();
    let mut command = Command::new(haproxy);
    command.arg("-db").arg("-f").arg(directory.join("haproxy.cfg"));
    Some(command)
}

/// A client at 127.0.0.5, as a proxy in front tells of it.
fn from_afar(address: &str) -> Client {
    let (own, address) = ("127.0.0.5".parse().unwrap(), address.parse().unwrap());
    let socket = fairwater_e2e::Socket::connect_from(own, address).unwrap();
    Client::of(socket)
}

#[test]
fn haproxy_tells_us_of_its_clients() {
    let endpoint = Endpoint::echo("e");
    for words in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2-ssl-cn",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl",
        "send-proxy-v2 check inter 50ms",
    ] {
        for (mode, protocol) in [("http", "http"), ("tcp", "http"), ("tcp", "tcp")] {
            if mode == "tcp" && words.contains("unique-id") {
                // It has an id in HTTP only.
                continue;
            }
            let setup = Setup::of(protocol, &[&endpoint.address]);
            let mut proxy = setup.listener(REQUIRED).start();
            let (directory, address) = (Directory::new(), free_address());
            let back = format!("{} {words}", proxy.address);
            let Some(mut command) = haproxy(&directory, mode, &address, &back) else { return };
            let server = Server::start(address, &mut command);
            let mut client = from_afar(&server.address);
            for _ in 0..3 {
                assert_eq!(client.get("/").status(), 200, "{words} {mode} {protocol}");
            }
            client.half_close();
            client.read_to_end();
            let is_it = |line: &fairwater_e2e::Line| line.get("client") == "127.0.0.5";
            let wanted = if protocol == "http" { 3 } else { 1 };
            until("the lines of the client", || {
                proxy.log().iter().filter(|one| is_it(one)).count() == wanted
            });
            drop(server);
            proxy.assert_sound();
        }
    }
}

#[test]
fn haproxy_believes_us() {
    let endpoint = Endpoint::echo("e");
    for version in ["v1", "v2"] {
        for protocol in ["http", "tcp"] {
            let (directory, address) = (Directory::new(), free_address());
            let front = format!("{address} accept-proxy\n option forwardfor");
            let Some(mut command) = haproxy(&directory, "http", &front, &endpoint.address) else {
                return;
            };
            // What asks whether it listens sends no header, and is none of its clients.
            let server = Server::start(address, &mut command);
            let told = format!("proxy_protocol = \"{version}\"");
            let proxy = Setup::of(protocol, &[&server.address]).upstream(&told).start();
            let mut client = Client::from_address("127.0.0.5", &proxy);
            for _ in 0..3 {
                assert_eq!(client.get("/").status(), 200, "{version} {protocol}");
                let request = endpoint.requests().pop().unwrap();
                let last = request.all("x-forwarded-for").last();
                assert!(last.is_some_and(|last| last.ends_with("127.0.0.5")), "{last:?}");
            }
        }
    }
}

#[test]
fn nginx_believes_us() {
    for version in ["v1", "v2"] {
        for protocol in ["http", "tcp"] {
            let (directory, address) = (Directory::new(), free_address());
            let location =
                "location / { return 200 \"$proxy_protocol_addr:$proxy_protocol_port\"; }";
            let listen = format!("{address} proxy_protocol");
            let Some(mut command) = nginx(&directory, &listen, location) else { return };
            let server = Server::start(address, &mut command);
            let told = format!("proxy_protocol = \"{version}\"");
            let proxy = Setup::of(protocol, &[&server.address]).upstream(&told).start();
            let mut client = Client::from_address("127.0.0.5", &proxy);
            for _ in 0..3 {
                let expected = format!("127.0.0.5:{}", client.port());
                assert_eq!(client.get("/").text(), expected, "{version} {protocol}");
            }
        }
    }
}

#[test]
fn nginx_tells_us_of_its_clients() {
    let Some(nginx) = program("nginx") else { return };
    let module = "/usr/lib/nginx/modules/ngx_stream_module.so";
    if !std::path::Path::new(module).exists() {
        return eprintln!("skipped: nginx has no streams");
    }
    let endpoint = Endpoint::echo("e");
    let proxy = Setup::http(&[&endpoint]).listener(REQUIRED).start();
    let (directory, address) = (Directory::new(), free_address());
    let path = directory.path().display();
    let text = format!(
        "load_module {module};\ndaemon off; master_process off; pid {path}/nginx.pid;\n\
         error_log stderr; events {{ worker_connections 64; }}\n\
         stream {{ server {{ listen {address}; proxy_pass {}; proxy_protocol on; }} }}\n",
        proxy.address
    );
    let file = directory.join("nginx.conf");
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(nginx);
    command.args(["-e", "stderr", "-p"]).arg(directory.path()).arg("-c").arg(&file);
    let server = Server::start(address, &mut command);
    let mut client = from_afar(&server.address);
    for n in 0..3 {
        assert_eq!(client.get("/").status(), 200);
        let line = &proxy.until_log(n + 1)[n];
        assert_eq!(line.get("client"), "127.0.0.5");
        assert_eq!(line.number("client_port"), u64::from(client.port()));
    }
}
