//! What a service manager is told (sd_notify(3)): a datagram for each change, and one now and then
//! as a sign of life.

use std::env;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use fairwater_sys::clock;

/// The one who is told; nobody, where nobody asked.
#[derive(Debug, Default)]
pub struct Notify {
    link: Option<(UnixDatagram, SocketAddr)>,
    /// Twice as often as it is asked for.
    every_ms: Option<u64>,
    due_ms: u64,
}

impl Notify {
    /// Who asked for it in the environment.
    pub fn from_environment() -> Self {
        let get = |name| env::var(name).ok();
        let is_meant = get("WATCHDOG_PID").is_none_or(|id| id == std::process::id().to_string());
        let watchdog = get("WATCHDOG_USEC").filter(|_| is_meant);
        Self::new(
            &get("NOTIFY_SOCKET").unwrap_or_default(),
            watchdog.and_then(|us| us.parse().ok()),
        )
    }

    fn new(path: &str, watchdog_us: Option<u64>) -> Self {
        let address = match path.strip_prefix('@') {
            Some(name) => SocketAddr::from_abstract_name(name),
            None if path.starts_with('/') => SocketAddr::from_pathname(path),
            None => return Self::default(),
        };
        // Whoever does not take it must not hold us up.
        let socket = UnixDatagram::unbound()
            .and_then(|socket| socket.set_nonblocking(true).map(|()| socket));
        let link = socket.ok().zip(address.ok());
        let every_ms = watchdog_us.filter(|us| *us > 0).map(|us| (us / 2_000).max(1));
        Self { every_ms: every_ms.filter(|_| link.is_some()), link, due_ms: 0 }
    }

    /// Connections are accepted; `status` is for people.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nMAINPID={}\nSTATUS={status}", std::process::id()));
    }

    /// Another configuration is being read; [`Self::ready`] ends it.
    pub fn reloading(&self) {
        let now_us = clock::precise_us();
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={now_us}\nSTATUS=Reloading"));
    }

    /// What runs is finished, and nothing else.
    pub fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=Finishing what runs");
    }

    /// Gives a sign of life when one is due. Returns the time until the next one, if ever.
    pub fn beat(&mut self, now_ms: u64) -> Option<Duration> {
        let every_ms = self.every_ms?;
        if now_ms >= self.due_ms {
            self.tell("WATCHDOG=1");
            self.due_ms = now_ms + every_ms;
        }
        Some(Duration::from_millis(self.due_ms - now_ms))
    }

    fn tell(&self, text: &str) {
        if let Some((socket, address)) = &self.link {
            // It may be gone, and that is no reason to end.
            drop(socket.send_to_addr(text.as_bytes(), address));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next(receiver: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let len = receiver.recv(&mut buffer).unwrap_or(0);
        String::from_utf8(buffer[..len].to_vec()).unwrap()
    }

    #[test]
    fn who_asks_is_told() {
        let name = format!("fairwater-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let receiver = UnixDatagram::bind_addr(&address).unwrap();
        receiver.set_nonblocking(true).unwrap();
        let mut notify = Notify::new(&format!("@{name}"), Some(3_000_000));
        notify.ready("Serving");
        assert!(next(&receiver).starts_with("READY=1\nMAINPID="));
        notify.reloading();
        assert!(next(&receiver).starts_with("RELOADING=1\nMONOTONIC_USEC="));
        assert_eq!(notify.beat(10_000), Some(Duration::from_millis(1500)));
        assert_eq!(next(&receiver), "WATCHDOG=1");
        assert_eq!(notify.beat(11_499), Some(Duration::from_millis(1)));
        assert_eq!(next(&receiver), "", "not due yet");
        assert_eq!(notify.beat(11_500), Some(Duration::from_millis(1500)));
        assert_eq!(next(&receiver), "WATCHDOG=1");
        notify.stopping();
        assert!(next(&receiver).starts_with("STOPPING=1\n"));
        drop(receiver);
        notify.ready("Serving");
    }

    #[test]
    fn nobody_is_told_where_nobody_asks() {
        for (path, watchdog) in [("", Some(1)), ("relative", None), ("vsock:2:1", Some(9))] {
            assert_eq!(Notify::new(path, watchdog).beat(1), None, "{path}");
        }
        assert_eq!(Notify::new("@x", Some(0)).beat(1), None);
    }
}
