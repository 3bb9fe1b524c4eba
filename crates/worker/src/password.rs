//! Where passwords are checked: on threads of their own, since to check one takes the time of a
//! hundred requests. They run when the others leave them time, and no more wait for them than may.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::panic::catch_unwind;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fairwater_password::PasswordHash;
use fairwater_sys::process;
use tokio::sync::oneshot;

use crate::limits;

/// The threads that check passwords, and what waits for them. They are started when there is a
/// first one to check, and stay.
#[derive(Clone, Debug)]
pub struct PasswordChecks(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue>,
    has_more: Condvar,
    threads_max: usize,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: VecDeque<Job>,
    /// Whose password was taken out last.
    last: Option<IpAddr>,
    threads: usize,
    idle: usize,
}

/// One password; whoever no longer waits for the answer has dropped its other end.
#[derive(Debug)]
struct Job {
    hash: Arc<str>,
    password: Vec<u8>,
    client: Option<IpAddr>,
    answer: oneshot::Sender<bool>,
}

impl PasswordChecks {
    /// For a process with so many worker threads: half as many, so that a flood of passwords leaves
    /// the others a processor even where the scheduler does not know which matter more.
    pub fn new(worker_threads: usize) -> Self {
        let threads_max = (worker_threads / 2).clamp(1, limits::PASSWORD_THREADS_MAX);
        let (queue, has_more) = Default::default();
        Self(Arc::new(Shared { queue, has_more, threads_max }))
    }

    /// Asks whether a password has a hash. `None` if too many are asked about; the same later, as
    /// an answer that never comes, if others are to come first.
    pub(crate) fn ask(
        &self,
        hash: &Arc<str>,
        password: Vec<u8>,
        client: Option<IpAddr>,
    ) -> Option<oneshot::Receiver<bool>> {
        let (answer, receiver) = oneshot::channel();
        let mut queue = self.0.lock();
        if !queue.has_room_for(client) {
            return None;
        }
        if queue.idle == 0 && queue.threads < self.0.threads_max {
            let shared = Arc::clone(&self.0);
            let thread = std::thread::Builder::new().name(format!("password-{}", queue.threads));
            queue.threads += usize::from(thread.spawn(move || shared.work()).is_ok());
        }
        if queue.threads == 0 {
            return None;
        }
        queue.jobs.push_back(Job { hash: Arc::clone(hash), password, client, answer });
        drop(queue);
        self.0.has_more.notify_one();
        Some(receiver)
    }
}

impl Shared {
    fn work(&self) {
        // Refused or not: passwords are checked.
        process::give_way().ok();
        loop {
            let job = self.next();
            if job.answer.is_closed() {
                continue; // Nobody waits any more.
            }
            // A bug there must not leave the queue without a thread.
            let check =
                || PasswordHash::parse(&job.hash).is_ok_and(|hash| hash.is_of(&job.password));
            job.answer.send(catch_unwind(check).unwrap_or(false)).ok();
        }
    }

    fn next(&self) -> Job {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.pop() {
                return job;
            }
            queue.idle += 1;
            queue = self.has_more.wait(queue).unwrap_or_else(PoisonError::into_inner);
            queue.idle -= 1;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock; and if, the queue is as good as before.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    /// The one that has waited longest, but no second one of a client while another waits: who
    /// guesses keeps nobody waiting for long.
    fn pop(&mut self) -> Option<Job> {
        let at = self.jobs.iter().position(|job| job.client != self.last).unwrap_or(0);
        let job = self.jobs.remove(at)?;
        self.last = job.client;
        Some(job)
    }

    /// Whether one more of this client may wait. When the queue is full, the client with the most
    /// in it gives one up for a client with less: who guesses does not keep the others out.
    fn has_room_for(&mut self, client: Option<IpAddr>) -> bool {
        if self.jobs.len() < limits::PASSWORDS_WAITING_MAX {
            return true;
        }
        let own = self.jobs.iter().filter(|job| job.client == client).count();
        if own * 2 >= self.jobs.len() {
            return false; // Nobody has more: a flood of one client costs no more than this.
        }
        let mut clients: Vec<_> = self.jobs.iter().map(|job| job.client).collect();
        clients.sort_unstable();
        let shares = clients.chunk_by(|a, b| a == b).map(|share| (share.len(), share[0]));
        let Some((_, heaviest)) = shares.max().filter(|(most, _)| *most > own + 1) else {
            return false;
        };
        let last = self.jobs.iter().rposition(|job| job.client == heaviest);
        last.and_then(|last| self.jobs.remove(last)).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "$2y$05$jIglWt7Ae47UMZMtibv4ieYLDBRIZkxBuK71yURyLhA5nm68p3csS";

    fn wait_for(receiver: oneshot::Receiver<bool>) -> Result<bool, oneshot::error::RecvError> {
        receiver.blocking_recv()
    }

    #[test]
    fn passwords_are_checked_elsewhere() {
        let checks = PasswordChecks::new(1);
        let hash = Arc::from(HASH);
        let ask = |password: &str| checks.ask(&hash, password.as_bytes().to_vec(), None).unwrap();
        let (right, wrong) = (ask("open sesame"), ask("open sesam"));
        assert_eq!((wait_for(right), wait_for(wrong)), (Ok(true), Ok(false)));
        let broken = checks.ask(&Arc::from("$2y$"), Vec::new(), None).unwrap();
        assert_eq!(wait_for(broken), Ok(false));
        assert_eq!(checks.0.lock().threads, 1);
    }

    #[test]
    fn a_full_queue_is_shared_by_clients() {
        let mut queue = Queue::default();
        let address = |n: u8| Some(IpAddr::from([10, 0, 0, n]));
        let mut receivers = Vec::new();
        let mut ask = |queue: &mut Queue, client| {
            let (answer, receiver) = oneshot::channel();
            if !queue.has_room_for(client) {
                return false;
            }
            queue.jobs.push_back(Job {
                hash: Arc::from(HASH),
                password: Vec::new(),
                client,
                answer,
            });
            receivers.push(receiver);
            true
        };
        for _ in 0..limits::PASSWORDS_WAITING_MAX {
            assert!(ask(&mut queue, address(1)));
        }
        assert!(!ask(&mut queue, address(1)), "who fills it gets nothing more");
        for n in 0..limits::PASSWORDS_WAITING_MAX / 2 {
            assert!(ask(&mut queue, address(2)), "{n}");
        }
        assert!(!ask(&mut queue, address(2)), "half of it is a fair share");
        assert!(ask(&mut queue, None));
        assert_eq!(queue.jobs.len(), limits::PASSWORDS_WAITING_MAX);
        let refused = receivers.iter_mut().filter_map(|receiver| receiver.try_recv().err());
        let closed = refused.filter(|error| *error == oneshot::error::TryRecvError::Closed);
        assert_eq!(closed.count(), limits::PASSWORDS_WAITING_MAX / 2 + 1);
        for _ in 0..limits::PASSWORDS_WAITING_MAX / 4 {
            assert_ne!(queue.pop().map(|job| job.client), queue.pop().map(|job| job.client));
        }
    }
}
