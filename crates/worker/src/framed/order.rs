//! The replies of one client, in the order of its messages, whichever comes first. What comes
//! before its turn is kept.

use std::collections::VecDeque;

/// The number of a message of a client.
pub(super) type Number = u64;

/// What is kept of replies that came too early, of one client.
const EARLY_BYTES_MAX: usize = 1024 * 1024;

#[derive(Debug, Default)]
#[cfg_attr(test, derive(Clone, PartialEq, Eq, Hash))]
pub(super) struct Order {
    /// The oldest message that has no whole reply.
    first: Number,
    /// The one that has not come yet.
    next: Number,
    /// Of those behind the first one.
    early: VecDeque<Early>,
    early_bytes: usize,
    /// A part of the first reply has gone out.
    is_begun: bool,
}

/// A reply before its turn, or the beginning of one.
#[derive(Debug, Default, PartialEq, Eq)]
#[cfg_attr(test, derive(Clone, Hash))]
struct Early {
    bytes: Vec<u8>,
    end: Option<End>,
}

/// How the reply to a message ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) enum End {
    Whole,
    /// There is none, or not all of it: nothing can follow on this connection.
    Lost,
}

/// What has become of a piece of a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivery {
    /// It is kept until its turn.
    Kept,
    /// It goes out.
    Out,
    /// It goes out, if there is anything of it, and nothing after it.
    Last,
}

/// Replies that came too early are more than are kept.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooEarly;

impl Order {
    /// Takes in the next message.
    pub(super) fn begin(&mut self) -> Number {
        self.next += 1;
        self.next - 1
    }

    /// Messages without a whole reply.
    pub(super) fn open(&self) -> u64 {
        self.next - self.first
    }

    /// Messages whose replies have ended before their turn.
    #[cfg(test)]
    pub(super) fn kept(&self) -> u64 {
        self.early.iter().filter(|early| early.end.is_some()).count() as u64
    }

    /// Whether some message has its whole reply.
    pub(super) fn has_passed(&self) -> bool {
        self.first > 0
    }

    /// Whether this is the last message that has come.
    pub(super) fn is_last(&self, number: Number) -> bool {
        number + 1 == self.next
    }

    /// Takes in a piece of a reply, and gives out what the client gets now.
    pub(super) fn deliver(
        &mut self,
        number: Number,
        piece: &[u8],
        end: Option<End>,
        mut write: impl FnMut(&[u8]),
    ) -> Result<Delivery, TooEarly> {
        if number != self.first {
            return self.keep(number, piece, end).map(|()| Delivery::Kept);
        }
        self.is_begun |= !piece.is_empty();
        write(piece);
        let mut end = end;
        while let Some(how) = end {
            if how == End::Lost {
                return Ok(Delivery::Last);
            }
            let Some(early) = self.pass() else { break };
            write(&early.bytes);
            end = early.end;
        }
        Ok(Delivery::Out)
    }

    /// Whether the client has got a part of the reply whose turn it is, and not the rest.
    pub(super) fn is_begun(&self) -> bool {
        self.is_begun
    }

    /// What stands for a reply that there is none of: a text, unless the client has got a part of
    /// the reply, or will.
    pub(super) fn instead<'a>(&self, number: Number, text: Option<&'a [u8]>) -> (&'a [u8], End) {
        let has_part = match number.checked_sub(self.first + 1) {
            None => self.is_begun,
            Some(place) => {
                self.early.get(place as usize).is_some_and(|early| !early.bytes.is_empty())
            }
        };
        match text {
            Some(text) if !has_part => (text, End::Whole),
            _ => (b"", End::Lost),
        }
    }

    /// Keeps a piece of a reply whose turn has not come.
    fn keep(&mut self, number: Number, piece: &[u8], end: Option<End>) -> Result<(), TooEarly> {
        debug_assert!(self.first < number && number < self.next, "it is under way");
        let place = (number - self.first - 1) as usize;
        if self.early.len() <= place {
            self.early.resize_with(place + 1, Early::default);
        }
        self.early_bytes += piece.len();
        if self.early_bytes > EARLY_BYTES_MAX {
            return Err(TooEarly);
        }
        let early = &mut self.early[place];
        early.bytes.extend_from_slice(piece);
        early.end = end;
        Ok(())
    }

    /// The reply of the first one is whole. Returns what is kept of the one whose turn it is now.
    fn pass(&mut self) -> Option<Early> {
        debug_assert!(self.first < self.next, "there is one to pass");
        self.first += 1;
        self.is_begun = false;
        let early = self.early.pop_front()?;
        self.is_begun = !early.bytes.is_empty();
        self.early_bytes -= early.bytes.len();
        Some(early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives out what a client gets, in the order in which it gets it.
    #[derive(Default)]
    struct Client {
        order: Order,
        got: Vec<u8>,
    }

    impl Client {
        fn reply(&mut self, number: Number, piece: &[u8], end: Option<End>) {
            let got = &mut self.got;
            let write = |piece: &[u8]| got.extend_from_slice(piece);
            assert_ne!(self.order.deliver(number, piece, end, write), Err(TooEarly));
        }
    }

    #[test]
    fn replies_come_in_the_order_of_the_messages() {
        // All orders in which four replies of two pieces can come.
        let mut left = [0_u8; 4];
        fn go(left: &mut [u8; 4], done: &mut Vec<usize>) {
            if done.len() == 8 {
                let mut client = Client::default();
                (0..4).for_each(|number| assert_eq!(client.order.begin(), number));
                let mut pieces = [0_u8; 4];
                for &which in done.iter() {
                    pieces[which] += 1;
                    let piece = [b'0' + which as u8, pieces[which]];
                    let end = (pieces[which] == 2).then_some(End::Whole);
                    client.reply(which as u64, &piece, end);
                }
                let want: Vec<u8> = (0..4).flat_map(|n| [b'0' + n, 1, b'0' + n, 2]).collect();
                assert_eq!(client.got, want, "{done:?}");
                assert_eq!((client.order.open(), client.order.early_bytes), (0, 0));
                return;
            }
            for which in 0..4 {
                if left[which] < 2 {
                    left[which] += 1;
                    done.push(which);
                    go(left, done);
                    done.pop();
                    left[which] -= 1;
                }
            }
        }
        go(&mut left, &mut Vec::new());
    }

    #[test]
    fn what_is_kept_is_limited() {
        let mut order = Order::default();
        (0..3).for_each(|number| assert_eq!(order.begin(), number));
        let mut keep = |number, len, end| order.deliver(number, &vec![0; len], end, |_| {});
        assert_eq!(keep(1, EARLY_BYTES_MAX - 1, None), Ok(Delivery::Kept));
        assert_eq!(keep(2, 2, Some(End::Whole)), Err(TooEarly));
    }
}
