//! The command line as it is written.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fairwater_config::THREADS_MAX;

const SIGNALS: &str = "Signals: TERM finishes what runs and stops (25 s at the most), INT stops now, \
     HUP reloads, USR1 opens the logs again, USR2 upgrades.";

/// Load balancer, reverse proxy and connection gateway.
#[derive(Debug, Parser)]
#[command(name = "fairwater", version, after_help = SIGNALS)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve what a configuration file says
    #[command(after_help = SIGNALS)]
    Run(RunArguments),
    /// Read a configuration for the master
    #[command(hide = true)]
    Load(LoadArguments),
    /// Serve what the master gives
    #[command(hide = true)]
    Worker(WorkerArguments),
    /// Have a running master read its configuration again
    Reload(MasterArguments),
    /// Have a running master become the program that is installed now, without a pause
    Upgrade(MasterArguments),
    /// Replace the processes of an app one by one, each once its successor is ready
    Restart(RestartArguments),
    /// Check a configuration file and say what is wrong with it
    Check(ConfigFile),
    /// Show how a running process is doing
    Status(StatusArguments),
    /// Format configuration files, in place
    Fmt(FormatArguments),
    /// Say more about a diagnostic (E0104) or a failure (no_endpoint), or what becomes of a request
    /// (http://host/path)
    Explain(ExplainArguments),
    /// Make the hash of a password, read from standard input, for `basic_auth`
    HashPassword,
    /// Print the JSON schema of configuration files, for editors
    Schema,
    /// Balance over endpoints given on the command line, without a file
    #[command(after_help = SIGNALS)]
    Proxy(ProxyArguments),
    /// Start three endpoints and balance over them: the thirty-second tour
    Demo,
    /// One endpoint of the demonstration
    #[command(hide = true)]
    DemoEndpoint(DemoEndpointArguments),
}

#[derive(Debug, Args)]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub file: ConfigFile,
    /// Serve in this one process, without a master that replaces it when it dies
    #[arg(long)]
    pub single: bool,
    /// Go into the background once it serves
    #[arg(long, conflicts_with = "single")]
    pub daemon: bool,
    /// Hold this file, with the number of the process in it, so that it runs once
    #[arg(long, value_name = "FILE")]
    pub pid_file: Option<PathBuf>,
    /// Where a daemon says what it says, and writes an access log to the standard output
    #[arg(long, value_name = "FILE", requires = "daemon")]
    pub log_file: Option<PathBuf>,
    /// The descriptor in which the master before has left its state
    #[arg(long, hide = true, value_name = "NUMBER")]
    pub state: Option<i32>,
}

#[derive(Debug, Args)]
pub(crate) struct WorkerArguments {
    /// What it opens again, with the access log
    #[arg(long)]
    pub log_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LoadArguments {
    #[command(flatten)]
    pub file: ConfigFile,
    /// For a master that wants to become this program
    #[arg(long)]
    pub upgrade: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// The configuration file
    #[arg(short, long, default_value = "fairwater.toml", value_name = "FILE")]
    pub config: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct MasterArguments {
    /// The configuration file that says where the master is, by its run_dir
    #[arg(short, long, default_value = "fairwater.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// The socket of the master itself
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub socket: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct RestartArguments {
    /// The app, as in [apps.NAME]
    #[arg(value_name = "NAME")]
    pub app: String,
    /// Send the `reload_signal` of the app to its processes, in place of replacing them
    #[arg(long)]
    pub renew: bool,
    #[command(flatten)]
    pub master: MasterArguments,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArguments {
    /// The configuration file that says where the admin socket is
    #[arg(short, long, default_value = "fairwater.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// The admin socket itself
    #[arg(long, value_name = "PATH", conflicts_with = "config")]
    pub admin: Option<String>,
    /// JSON in place of tables
    #[arg(long)]
    pub json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct FormatArguments {
    /// A configuration file, formatted with those that it includes; `-` formats standard input to
    /// standard output (may be repeated)
    #[arg(short, long, default_value = "fairwater.toml", value_name = "FILE")]
    pub config: Vec<PathBuf>,
    /// Write nothing: print the names of files that are not formatted, and fail if there are any
    #[arg(long)]
    pub check: bool,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArguments {
    /// The code of a diagnostic, a reason of the access log, or a URL, with a method before it if
    /// that is not GET
    #[arg(value_name = "CODE|REASON|[METHOD] URL", required = true)]
    pub subject: Vec<String>,
    /// The configuration file, for a request
    #[arg(short, long, default_value = "fairwater.toml", value_name = "FILE")]
    pub config: PathBuf,
    /// A header that the request has, as in `x-beta: 1` (may be repeated)
    #[arg(long, value_name = "NAME: VALUE")]
    pub header: Vec<String>,
    /// The address that it comes from
    #[arg(long, value_name = "ADDRESS")]
    pub client: Option<IpAddr>,
    /// The listener that it comes in at, if its port does not say it
    #[arg(long, value_name = "NAME")]
    pub listener: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ProxyArguments {
    /// Where to listen: :8080, 127.0.0.1:8080, [::1]:8080 or unix:/path (may be repeated)
    #[arg(long, required = true, value_name = "ADDRESS")]
    pub listen: Vec<String>,
    /// An endpoint: host:port, http://host, tcp://host:port or unix:/path (may be repeated)
    #[arg(long, required = true, value_name = "ADDRESS")]
    pub to: Vec<String>,
    /// Relay raw TCP instead of HTTP
    #[arg(long)]
    pub tcp: bool,
    /// Relay datagrams (UDP) instead of HTTP
    #[arg(long, conflicts_with = "tcp")]
    pub udp: bool,
    /// How an endpoint is chosen (default: round_robin, with --udp source_hash)
    #[arg(long, value_enum)]
    pub balance: Option<Balance>,
    /// Worker threads (default: what the machine grants)
    #[arg(long, value_name = "N", value_parser = threads)]
    pub threads: Option<NonZeroUsize>,
    /// Access log on standard output
    #[arg(long, value_enum, default_value = "off")]
    pub access_log: AccessLog,
    /// Serve /status, /metrics and /endpoints on this Unix socket
    #[arg(long, value_name = "PATH")]
    pub admin: Option<String>,
}

fn threads(text: &str) -> Result<NonZeroUsize, String> {
    let threads = text.parse().ok().filter(|threads: &NonZeroUsize| threads.get() <= THREADS_MAX);
    threads.ok_or_else(|| format!("write a number from 1 to {THREADS_MAX}"))
}

#[derive(Clone, Copy, Debug, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum Balance {
    RoundRobin,
    Random,
    LeastConnections,
    SourceHash,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum AccessLog {
    Json,
    Combined,
    Off,
}

#[derive(Debug, Args)]
pub(crate) struct DemoEndpointArguments {
    /// The socket to listen on
    #[arg(long)]
    pub socket: PathBuf,
    /// What it calls itself
    #[arg(long)]
    pub name: String,
}
