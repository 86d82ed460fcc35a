//! What happens, for whoever watches: the last events, and a queue for each reader that follows.
//!
//! Nobody waits for a reader. Each has a queue of at most [`MOST_WAITING`] events; what does not fit takes the place of
//! the oldest, and the reader is told with its next answer how many it missed.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use live_varlink::{Source, Waker};
use luod_api::manager::{Event, EventBatch};
use serde_json::Value;

/// Events kept for those who ask later.
const MOST_RECENT: usize = 512;
/// Events that wait for one reader.
const MOST_WAITING: usize = 512;
/// Events in one answer.
const MOST_IN_ANSWER: usize = 64;
/// Bytes of an event's detail: a service may write a long reason.
const MOST_DETAIL: usize = 1024;

/// The last events, and who follows them.
#[derive(Debug, Default)]
pub(crate) struct EventLog {
    /// Number of the last event.
    last: u64,
    recent: VecDeque<Arc<Event>>,
    readers: Vec<Weak<Reader>>,
}

impl EventLog {
    /// Adds an event, which gets its number here.
    pub(crate) fn add(&mut self, mut event: Event) {
        self.last = self.last.saturating_add(1);
        event.number = self.last;
        if let Some(detail) = &mut event.detail {
            detail.truncate(detail.floor_char_boundary(MOST_DETAIL));
        }
        let event = Arc::new(event);
        if self.recent.len() == MOST_RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back(Arc::clone(&event));
        self.readers.retain(|reader| match reader.upgrade() {
            Some(reader) => {
                reader.post(Arc::clone(&event));
                true
            }
            None => false,
        });
    }

    /// The last events.
    pub(crate) fn recent(&self) -> EventBatch {
        let kept = u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
        EventBatch {
            missed: self.last.saturating_sub(kept),
            events: self
                .recent
                .iter()
                .map(|event| Event::clone(event))
                .collect(),
        }
    }

    /// A queue with the last events in it, and those that come.
    pub(crate) fn follow(&mut self, waker: Waker) -> Arc<Reader> {
        let kept = u64::try_from(self.recent.len()).unwrap_or(u64::MAX);
        let reader = Arc::new(Reader {
            queue: Mutex::new(Queue {
                waiting: self.recent.clone(),
                missed: self.last.saturating_sub(kept),
            }),
            waker,
        });
        self.readers.push(Arc::downgrade(&reader));
        reader
    }
}

/// A reader's queue; the connection sends what is in it.
#[derive(Debug)]
pub(crate) struct Reader {
    queue: Mutex<Queue>,
    waker: Waker,
}

#[derive(Debug)]
struct Queue {
    waiting: VecDeque<Arc<Event>>,
    /// Events that were dropped since the last answer.
    missed: u64,
}

impl Reader {
    fn post(&self, event: Arc<Event>) {
        let mut queue = self.lock();
        if queue.waiting.len() == MOST_WAITING {
            queue.waiting.pop_front();
            queue.missed = queue.missed.saturating_add(1);
        }
        queue.waiting.push_back(event);
        drop(queue);
        self.waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Option<EventBatch> {
        let mut queue = self.lock();
        if queue.waiting.is_empty() {
            return None;
        }
        let count = queue.waiting.len().min(MOST_IN_ANSWER);
        let events = queue.waiting.drain(..count);
        let events = events.map(|event| Event::clone(&event)).collect();
        let missed = std::mem::take(&mut queue.missed);
        Some(EventBatch { missed, events })
    }
}

impl Source for Reader {
    fn next(&self) -> Option<Value> {
        let batch = self.take()?;
        match serde_json::to_value(&batch) {
            Ok(value) => Some(value),
            Err(error) => {
                tracing::error!(%error, ?batch, "events cannot be sent");
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use luod_api::manager::EventKind;
    use update::Phase;

    use super::*;

    fn event(detail: &str) -> Event {
        Event {
            number: 0,
            realtime_ns: 1,
            update_id: None,
            phase: Phase::Normal,
            kind: EventKind::Asked,
            service: None,
            item: None,
            detail: Some(detail.to_owned()),
        }
    }

    #[test]
    fn a_reader_that_is_too_slow_is_told_how_many_it_missed() {
        let mut log = EventLog::default();
        let reader = log.follow(Waker::default());
        let more = 100;
        for _ in 0..MOST_WAITING + more {
            log.add(event("x"));
        }
        let first = reader.take().unwrap();
        assert_eq!((first.missed, first.events.len()), (100, MOST_IN_ANSWER));
        // Nothing is missing that is not counted.
        assert_eq!(first.events[0].number, 101);
        let mut next = 101 + MOST_IN_ANSWER as u64;
        while let Some(batch) = reader.take() {
            assert_eq!(batch.missed, 0);
            for event in batch.events {
                assert_eq!(event.number, next);
                next += 1;
            }
        }
        assert_eq!(next, 613);
        // Who comes later has the last ones, and knows how many there were.
        let recent = log.recent();
        assert_eq!((recent.missed, recent.events.len()), (100, MOST_RECENT));
        assert_eq!(log.follow(Waker::default()).take().unwrap().missed, 100);
    }

    #[test]
    fn a_reader_that_hung_up_is_forgotten_and_a_long_reason_is_cut() {
        let mut log = EventLog::default();
        drop(log.follow(Waker::default()));
        log.add(event(&"\u{e9}".repeat(MOST_DETAIL)));
        assert!(log.readers.is_empty());
        let detail = log.recent().events.remove(0).detail.unwrap();
        assert_eq!(detail.len(), MOST_DETAIL);
    }
}
