//! Steps of updates, heard in a thread of their own.

use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

use liveupdate::{EventKind, Events};

use super::Happening;

/// A step that is to be answered.
pub(super) struct Step {
    pub(super) kind: EventKind,
    pub(super) deadline: Duration,
}

/// What is answered.
pub(super) enum Answer {
    Ready,
    Veto(String),
}

/// The thread's other end.
pub(super) struct Updates {
    answers: Sender<Answer>,
}

impl Updates {
    /// Tells `sender` of every step, and of the end of luod.
    pub(super) fn start(events: Events, sender: Sender<Happening>) -> Self {
        let (answers, answered) = mpsc::channel();
        thread::spawn(move || {
            if let Err(error) = listen(events, &sender, &answered) {
                tracing::warn!(%error, "no longer hears of updates");
            }
            // Nobody listens when this process is about to end.
            let _ended = sender.send(Happening::LuodEnded);
        });
        Self { answers }
    }

    /// Answers the last step.
    pub(super) fn answer(&self, answer: Answer) {
        if self.answers.send(answer).is_err() {
            tracing::warn!("luod ended before it was answered");
        }
    }
}

fn listen(
    mut events: Events,
    sender: &Sender<Happening>,
    answered: &Receiver<Answer>,
) -> Result<(), liveupdate::Error> {
    while let Some(event) = events.next()? {
        let step = Step {
            kind: event.kind(),
            deadline: event.deadline(),
        };
        if sender.send(Happening::Step(step)).is_err() {
            return Ok(());
        }
        if event.kind() == EventKind::Cancel {
            continue;
        }
        match answered.recv() {
            Ok(Answer::Ready) => events.ready(&event)?,
            Ok(Answer::Veto(reason)) => events.veto(&event, &reason)?,
            Err(mpsc::RecvError) => return Ok(()),
        }
    }
    Ok(())
}
