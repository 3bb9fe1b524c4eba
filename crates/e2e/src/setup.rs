//! A configuration in the making: what most tests need in one line, the rest as TOML.

use crate::proxy::{OWN_BINARY, binary};
use crate::{Directory, Endpoint, Proxy};

#[derive(Debug)]
pub struct Setup {
    listener: String,
    bind: String,
    upstream: String,
    endpoints: String,
    log: Option<String>,
    more: String,
    top: String,
    threads: usize,
    has_route: bool,
    flags: Vec<String>,
    directory: Directory,
}

impl Setup {
    /// An HTTP listener `web` in front of the upstream `app`, on one thread.
    pub fn http(endpoints: &[&Endpoint]) -> Self {
        let addresses: Vec<_> =
            endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
        Self::of("http", &addresses)
    }

    /// The same for TCP.
    pub fn tcp(endpoints: &[&Endpoint]) -> Self {
        let addresses: Vec<_> =
            endpoints.iter().map(|endpoint| endpoint.address.as_str()).collect();
        Self::of("tcp", &addresses)
    }

    /// An HTTP listener `web` in front of the upstream `app`, whose endpoints are the processes of
    /// an app of that name. These are the lines of `[apps.app]`.
    pub fn app(lines: &str) -> Self {
        let setup = Self::of("http", &[]).reloadable().upstream("apps = \"app\"");
        setup.more(&format!("[apps.app]\n{lines}"))
    }

    pub fn of(protocol: &str, addresses: &[&str]) -> Self {
        let addresses: Vec<_> = addresses.iter().map(|address| format!("{address:?}")).collect();
        Self {
            listener: format!("protocol = {protocol:?}\n"),
            bind: "127.0.0.1:0".to_owned(),
            upstream: String::new(),
            endpoints: addresses.join(", "),
            log: None,
            more: String::new(),
            top: String::new(),
            threads: 1,
            has_route: true,
            flags: Vec::new(),
            directory: Directory::new(),
        }
    }

    /// A further line for `[listeners.web]`.
    #[must_use]
    pub fn listener(mut self, line: &str) -> Self {
        self.listener += line;
        self.listener.push('\n');
        self
    }

    #[must_use]
    pub fn bind(mut self, address: &str) -> Self {
        address.clone_into(&mut self.bind);
        self
    }

    /// A further line for `[upstreams.app]`.
    #[must_use]
    pub fn upstream(mut self, line: &str) -> Self {
        self.upstream += line;
        self.upstream.push('\n');
        self
    }

    /// The endpoints as TOML, in place of plain addresses.
    #[must_use]
    pub fn endpoints(mut self, list: &str) -> Self {
        list.clone_into(&mut self.endpoints);
        self
    }

    /// The lines of `[access_log]`, in place of a file for [`Proxy::log`].
    #[must_use]
    pub fn log(mut self, lines: &str) -> Self {
        self.log = Some(lines.to_owned());
        self
    }

    /// The lines of `[access_log]` but for the path, which is that of the usual file.
    #[must_use]
    pub fn log_as(self, lines: &str) -> Self {
        let path = self.directory.join("access.log");
        self.log(&format!("path = {path:?}\n{lines}"))
    }

    /// A further line for the top level.
    #[must_use]
    pub fn top(mut self, line: &str) -> Self {
        self.top += line;
        self.top.push('\n');
        self
    }

    /// Further tables.
    #[must_use]
    pub fn more(mut self, tables: &str) -> Self {
        self.more += tables;
        self.more.push('\n');
        self
    }

    /// With a socket of the master, for [`Proxy::reload`].
    #[must_use]
    pub fn reloadable(self) -> Self {
        let line = format!("run_dir = {:?}", self.directory.join("run"));
        if self.top.contains(&line) { self } else { self.top(&line) }
    }

    /// A flag of the command line.
    #[must_use]
    pub fn flag(mut self, flag: &str) -> Self {
        self.flags.push(flag.to_owned());
        self
    }

    /// As `reloadable`, with a program of its own that can be replaced.
    ///
    /// # Panics
    /// When the binary cannot be copied.
    #[must_use]
    pub fn upgradable(self) -> Self {
        let own = self.directory.join(OWN_BINARY);
        if std::fs::hard_link(binary(), &own).is_err() {
            std::fs::copy(binary(), &own).unwrap();
        }
        self.reloadable()
    }

    /// Leaves out the shorthand route of the listener.
    #[must_use]
    pub fn without_route(mut self) -> Self {
        self.has_route = false;
        self
    }

    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads;
        self
    }

    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    fn text(&self) -> String {
        let Self { listener, bind, upstream, endpoints, more, top, threads, .. } = self;
        let route = if self.has_route { "upstream = \"app\"\n" } else { "" };
        let directory = self.directory.path().display();
        let usual = format!("path = \"{directory}/access.log\"");
        let endpoints = match &**endpoints {
            "" => String::new(),
            list => format!("endpoints = [{list}]\n"),
        };
        let log = self.log.as_ref().unwrap_or(&usual);
        // Tests look at what processes have open. Without it only root may.
        let is_closed = !rustix::process::geteuid().is_root() && !top.contains("core_dumps");
        let open = if is_closed { "core_dumps = true\n" } else { "" };
        format!(
            "threads = {threads}\n{open}{top}\
             [access_log]\n{log}\n\
             [admin]\nsocket = \"{directory}/admin.sock\"\n\
             [listeners.web]\nbind = \"{bind}\"\n{listener}{route}\
             [upstreams.app]\n{endpoints}{upstream}{more}"
        )
    }

    /// Writes `fairwater.toml` into the directory, for who starts it otherwise.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self) {
        std::fs::write(self.directory.join("fairwater.toml"), self.text()).unwrap();
    }

    /// Starts the proxy and waits until it listens.
    ///
    /// # Panics
    /// When it does not.
    pub fn start(self) -> Proxy {
        self.try_start().unwrap_or_else(|said| panic!("the proxy does not start: {said}"))
    }

    /// # Errors
    /// What the proxy said when it ended.
    ///
    /// # Panics
    /// When the binary is not there.
    pub fn try_start(self) -> Result<Proxy, String> {
        self.write();
        Proxy::start(self.directory, &self.flags)
    }
}
