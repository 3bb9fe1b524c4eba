//! `fairwater proxy`: a configuration from arguments.

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

fn configuration(arguments: &ProxyArguments) -> Result<config::Config, String> {
    let protocol = match arguments.tcp {
        true => config::Protocol::Tcp(config::TcpListener::default()),
        false => config::Protocol::Http(config::HttpListener::default()),
    };
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
    let mut upstream = config::Upstream::new("proxy", endpoints);
    upstream.balance = match arguments.balance {
        Balance::RoundRobin => config::Balance::RoundRobin,
        Balance::Random => config::Balance::Random,
        Balance::LeastConnections => config::Balance::LeastConnections,
        Balance::SourceHash => config::Balance::SourceHash,
    };
    let listener = config::Listener {
        name: "proxy".to_owned().into(),
        bind: binds.into_iter().map(Into::into).collect(),
        protocol,
        destination: Some(config::Destination::Upstream("proxy".to_owned().into())),
        filters: config::Filters::default(),
    };
    let socket = arguments.admin.as_deref().map(admin_socket).transpose()?;
    let format = match arguments.access_log {
        AccessLog::Json => config::LogFormat::Json,
        AccessLog::Combined => config::LogFormat::Combined,
        AccessLog::Off => config::LogFormat::Off,
    };
    Ok(config::Config {
        threads: arguments.threads.map(Into::into),
        access_log: config::AccessLog { format, path: None },
        admin: config::Admin { socket: socket.map(Into::into) },
        listeners: vec![listener],
        upstreams: vec![upstream],
        ..config::Config::default()
    })
}

fn admin_socket(text: &str) -> Result<PathBuf, String> {
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
    }
}
