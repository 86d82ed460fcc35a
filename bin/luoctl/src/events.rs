//! `luoctl events`: what happens on this host.

use std::fmt::Write as _;
use std::process::ExitCode;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use luod_api::manager::{Event, EventBatch, Events, method};
use serde_json::{Value, json};

use crate::cli::Cli;
use crate::connection::Connection;
use crate::failure::Failure;
use crate::output::{self, Layout};

pub(crate) fn events(cli: &Cli, follow: bool) -> Result<ExitCode, Failure> {
    let mut connection = Connection::open(cli)?;
    let request = Events { follow };
    let seen = |batch: &EventBatch| show(cli, batch);
    match follow {
        false => seen(&connection.call(method::EVENTS, &request)?),
        true => connection.watch(method::EVENTS, &request, &[], seen)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn show(cli: &Cli, batch: &EventBatch) {
    if batch.missed > 0 {
        let missed = batch.missed;
        match cli.json {
            true => output::json(&json!({ "missed": missed }), Layout::Line),
            false => output::text(&format!("… {missed} earlier events are not known any more")),
        }
    }
    for event in &batch.events {
        match cli.json {
            true => output::json(event, Layout::Line),
            false => output::text(&line(event)),
        }
    }
}

/// An event on one line: time, phase, kind, whom it is about, why.
fn line(event: &Event) -> String {
    let time = i128::from(event.realtime_ns);
    let time = Timestamp::from_nanosecond(time).map_or_else(
        |_| event.realtime_ns.to_string(),
        |time| {
            let local = time.to_zoned(TimeZone::system());
            local.strftime("%F %T%.3f").to_string()
        },
    );
    let kind = match serde_json::to_value(event.kind) {
        Ok(Value::String(kind)) => kind,
        _ => String::new(),
    };
    let mut text = format!("{time}  {:8}  {kind:18}", event.phase.to_string());
    for part in [&event.service, &event.item].into_iter().flatten() {
        let _ = write!(text, " {part}");
    }
    if let Some(detail) = &event.detail {
        let _ = write!(text, ": {detail}");
    }
    text
}

#[cfg(test)]
mod tests {
    use luod_api::manager::EventKind;
    use update::{MarkKind, Phase};

    use super::*;

    #[test]
    fn an_event_is_a_line_that_says_everything() {
        let event = Event {
            number: 7,
            realtime_ns: 1_800_000_000_123_456_789,
            update_id: Some("id".to_owned()),
            phase: Phase::Prepared,
            kind: EventKind::Mark(MarkKind::ServiceFrozen),
            service: Some("db".to_owned()),
            item: None,
            detail: Some("why".to_owned()),
        };
        let line = line(&event);
        assert!(
            line.ends_with(".123  prepared  service-frozen     db: why"),
            "{line}"
        );
        let value = serde_json::to_value(&event).unwrap();
        assert_eq!(value["kind"], "service-frozen");
        assert_eq!(serde_json::from_value::<Event>(value).unwrap(), event);
    }
}
