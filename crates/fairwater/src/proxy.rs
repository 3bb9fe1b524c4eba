//! `fairwater proxy`: a configuration from arguments.

use std::fmt::Display;
use std::path::PathBuf;
use std::process::ExitCode;

use fairwater_config as config;
use fairwater_message::address::{AddressError, Endpoint, Listen};

use crate::arguments::{AccessLog, Balance, ProxyArguments};
use crate::{fail, serve};

pub(crate) fn run(arguments: &ProxyArguments) -> ExitCode {
    match configuration(arguments) {
        Ok(config) => serve::serve(&config),
        Err(error) => fail(error),
    }
}

/// The configuration that says the same as the arguments.
fn configuration(arguments: &ProxyArguments) -> Result<config::Config, String> {
    let said = |error: AddressError| error.to_string();
    let mut endpoints: Vec<Endpoint> = Vec::new();
    for text in &arguments.to {
        let endpoint = Endpoint::parse(text).map_err(said)?;
        if endpoints.contains(&endpoint) {
            return Err(format!("`{text}`: {endpoint} is given twice: leave one out"));
        }
        endpoints.push(endpoint);
    }
    let mut binds: Vec<Listen> = Vec::new();
    for text in &arguments.listen {
        let listen = Listen::parse(text).map_err(said)?;
        if binds.contains(&listen) {
            return Err(format!("`{text}`: {listen} is given twice: leave one out"));
        }
        binds.push(listen);
    }
    let balance = arguments.balance.map(|balance| match balance {
        Balance::RoundRobin => "balance = \"round_robin\"\n",
        Balance::Random => "balance = \"random\"\n",
        Balance::LeastConnections => "balance = \"least_connections\"\n",
        Balance::SourceHash => "balance = \"source_hash\"\n",
    });
    let format = match arguments.access_log {
        AccessLog::Json => "json",
        AccessLog::Combined => "combined",
        AccessLog::Off => "off",
    };
    let threads = arguments.threads.map(|count| format!("threads = {count}\n"));
    let socket = arguments.admin.as_deref().map(admin_socket).transpose()?;
    let admin = socket.map(|path| format!("admin.socket = {}\n", quoted(path.display())));
    let text = format!(
        "{}{}access_log.format = \"{format}\"\n\
         [listeners.proxy]\nbind = {}\nprotocol = \"{}\"\nupstream = \"proxy\"\n\
         [upstreams.proxy]\nendpoints = {}\n{}",
        threads.unwrap_or_default(),
        admin.unwrap_or_default(),
        list(&binds),
        match arguments {
            ProxyArguments { tcp: true, .. } => "tcp",
            ProxyArguments { udp: true, .. } => "udp",
            _ => "http",
        },
        list(&endpoints),
        balance.unwrap_or_default(),
    );
    let (config, diagnostics) = config::parse("the arguments", text.as_bytes());
    config.ok_or_else(|| config::render(&diagnostics))
}

fn list(values: &[impl Display]) -> String {
    let values: Vec<_> = values.iter().map(quoted).collect();
    format!("[{}]", values.join(", "))
}

/// A string of TOML in which no variable is meant. Addresses have no control characters.
pub(crate) fn quoted(value: impl Display) -> String {
    let text = value.to_string().replace('\\', "\\\\").replace('"', "\\\"");
    format!("\"{}\"", text.replace("${", "$${"))
}

pub(crate) fn admin_socket(text: &str) -> Result<PathBuf, String> {
    match Endpoint::parse(text) {
        Ok(Endpoint::Unix(path)) => Ok(path),
        _ => Err(format!("`{text}` is not the path of a Unix socket: write it from the root")),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::arguments::{Arguments, Command};

    fn check(words: &str, expected: Result<usize, &str>) {
        let words = ["fairwater", "proxy"].into_iter().chain(words.split_whitespace());
        let Command::Proxy(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        let addresses = configuration(&arguments).map(|config| config.listeners[0].bind.len());
        assert_eq!(addresses.as_ref().map(|count| *count).map_err(String::as_str), expected);
    }

    #[test]
    fn what_is_given_twice_is_named() {
        check("--listen :1 --listen unix:/a --to b:1", Ok(2));
        let twice = "`*:1`: :1 is given twice: leave one out";
        check("--listen :1 --listen *:1 --to b:1", Err(twice));
        let twice = "`tcp://b:1`: b:1 is given twice: leave one out";
        check("--listen :1 --to b:1 --to tcp://b:1", Err(twice));
        check("--udp --listen :1 --to b:1", Ok(1));
    }

    #[test]
    fn paths_are_taken_as_they_are() {
        let words = [
            "fairwater",
            "proxy",
            "--listen",
            "unix:/a \"\\${X}",
            "--to",
            "b:1",
            "--admin",
            "/c$$",
        ];
        let Command::Proxy(arguments) = Arguments::try_parse_from(words).unwrap().command else {
            panic!("another command")
        };
        let config = configuration(&arguments).unwrap();
        assert_eq!(config.listeners[0].bind[0].value, Listen::Unix("/a \"\\${X}".into()));
        assert_eq!(config.admin.socket.unwrap().value, PathBuf::from("/c$$"));
    }
}
