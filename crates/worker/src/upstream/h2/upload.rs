//! The request on its way over a call, as it comes from the client.

use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

use fairwater_message::{Fault, FaultKind};

use super::{Call, Progress};
use crate::downstream::Source;
use crate::patience::Patience;
use crate::rate::Meter;
use crate::relay;

pub(super) struct Upload<'u, 's> {
    pub source: &'u mut Source<'s>,
    pub call: &'u Call,
    pub progress: &'u Progress,
    pub meter: Option<Rc<Meter>>,
}

impl Upload<'_, '_> {
    /// Sends what was taken of the body, and the rest as it comes. Returns whether the endpoint
    /// took it; if not, it may have answered all the same, which is read next.
    pub(super) async fn send_all(
        &mut self,
        patience: Patience<'_>,
        first: Range<usize>,
    ) -> Result<bool, Fault> {
        let mut turn = relay::Turn::of(self.meter.take());
        let mut data = first;
        loop {
            turn.spend(data.len()).await;
            if !self.send(patience, data).await? {
                return Ok(false);
            }
            if self.source.is_done() {
                return Ok(true);
            }
            if self.progress.is_answered.get() {
                self.source.let_go();
            }
            self.source.fill(patience).await?;
            data = self.source.take()?;
        }
    }

    async fn send(&mut self, patience: Patience<'_>, data: Range<usize>) -> Result<bool, Fault> {
        let trailers = self.source.take_trailers()?;
        let is_last = self.source.is_done();
        let ends_here = is_last && trailers.is_empty();
        let mut rest = self.source.data(data);
        while !rest.is_empty() || ends_here {
            // Of what the endpoint takes is seen what leaves the library, in large steps.
            patience.timer.set(patience.for_large_steps());
            let sent = poll_fn(|cx| match self.call.poll_send(cx, rest, ends_here) {
                Poll::Ready(result) => Poll::Ready(Ok::<_, Fault>(result)),
                Poll::Pending => {
                    patience.timer.poll_expired(cx).map(|()| Err(FaultKind::UploadStalled.into()))
                }
            });
            let Ok(len) = sent.await? else { return Ok(false) };
            rest = &rest[len..];
            if rest.is_empty() {
                break;
            }
        }
        Ok(!is_last || ends_here || self.call.send_trailers(&trailers).is_ok())
    }
}
