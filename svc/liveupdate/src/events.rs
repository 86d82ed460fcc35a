//! The steps of an update, as a service hears of them.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;
use std::time::Duration;

use live_varlink::{CallError, Client, WireError};
use luod_api::service::{Answer, Attach, Attached, Done, Nothing, Notice, Veto, method};
use luod_api::{ApiError, Code};
use serde::Serialize;

use crate::error::Error;
use crate::luod::{call, connect};

/// A step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// Everything kept is being preserved. Go on working; its size cannot change. Wants an answer.
    Prepare,
    /// Stop changing what is kept, then answer: the jump follows.
    Freeze,
    /// The update was cancelled: go on as before.
    Cancel,
}

/// One step of one update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    kind: EventKind,
    notice: Notice,
}

impl Event {
    /// Which step.
    pub const fn kind(&self) -> EventKind {
        self.kind
    }

    /// Time there is to answer; zero where no answer is wanted.
    pub const fn deadline(&self) -> Duration {
        Duration::from_millis(self.notice.deadline_ms)
    }

    /// Identity of the update.
    pub fn update_id(&self) -> &str {
        &self.notice.update_id
    }
}

/// A stream of steps, on connections of its own. While it is there, every update waits for this
/// service's answers; ending the program in the middle of an update cancels the update.
#[derive(Debug)]
pub struct Events {
    service: String,
    stream: Client,
    answers: Client,
}

impl Events {
    pub(crate) fn subscribe(socket: &Path, service: &str) -> Result<Self, Error> {
        let attached = |socket| {
            let mut client = connect(socket, Duration::ZERO)?;
            let parameters = Attach {
                service: service.to_owned(),
            };
            call::<Attached>(&mut client, method::ATTACH, &parameters, &[])?;
            Ok::<_, Error>(client)
        };
        let mut stream = attached(socket)?;
        let answers = attached(socket)?;
        let parameters = Nothing {
            service: service.to_owned(),
        };
        stream
            .call_more(method::SUBSCRIBE, &parameters, &[])
            .map_err(|error| Error::from(ApiError::from(error)))?;
        Ok(Self {
            service: service.to_owned(),
            stream,
            answers,
        })
    }

    /// Waits for the next step; `None` when luod ended. Then everything kept is still kept:
    /// connect again.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Connection`].
    #[expect(
        clippy::should_implement_trait,
        reason = "an iterator cannot tell an error from the end"
    )]
    pub fn next(&mut self) -> Result<Option<Event>, Error> {
        loop {
            let notice: Notice = match self.stream.next_answer() {
                Ok((notice, _)) => notice,
                Err(CallError::Wire(WireError::Closed)) => return Ok(None),
                Err(error) => return Err(ApiError::from(error).into()),
            };
            let kind = match notice.event {
                update::Event::Prepare => EventKind::Prepare,
                update::Event::Freeze => EventKind::Freeze,
                update::Event::Cancel => EventKind::Cancel,
                // Not for services.
                update::Event::Jump | update::Event::Finish => continue,
            };
            return Ok(Some(Event { kind, notice }));
        }
    }

    /// Ready for what follows the step. When nobody waits any more, because another service
    /// refused meanwhile, this is no error: [`EventKind::Cancel`] follows.
    ///
    /// # Errors
    /// [`Error::Refused`] and [`Error::Connection`].
    pub fn ready(&mut self, event: &Event) -> Result<(), Error> {
        let parameters = Answer {
            service: self.service.clone(),
            event: event.notice.event,
            update_id: event.notice.update_id.clone(),
        };
        self.answer(method::READY, &parameters)
    }

    /// Refuses: the update is cancelled and the operator reads the reason.
    ///
    /// # Errors
    /// As [`Events::ready`].
    pub fn veto(&mut self, event: &Event, reason: &str) -> Result<(), Error> {
        let parameters = Veto {
            service: self.service.clone(),
            update_id: event.notice.update_id.clone(),
            reason: reason.to_owned(),
        };
        self.answer(method::VETO, &parameters)
    }

    fn answer(&mut self, method: &str, parameters: &impl Serialize) -> Result<(), Error> {
        late_is_fine(call::<Done>(&mut self.answers, method, parameters, &[]).map(drop))
    }
}

/// An answer that came after the update was cancelled has nothing to be told.
fn late_is_fine(answer: Result<(), Error>) -> Result<(), Error> {
    match answer {
        Err(Error::Refused(refusal)) if refusal.code == Code::WrongPhase => Ok(()),
        answer => answer,
    }
}

impl AsFd for Events {
    /// Readable when a step, or the end of luod, waits.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use luod_api::Refusal;

    use super::*;

    #[test]
    fn an_answer_to_a_cancelled_update_is_no_error_and_any_other_refusal_is() {
        let refused = |code| late_is_fine(Err(Refusal::new(code, "no").into()));
        assert!(refused(Code::WrongPhase).is_ok());
        assert!(refused(Code::PermissionDenied).is_err());
    }
}
