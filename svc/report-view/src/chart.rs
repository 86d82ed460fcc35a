//! What happened when, as bars over a scale of time.

use std::fmt::Write as _;
use std::ops::Range;

use update::{Mark, MarkKind, Report, Timeline};

/// Pixels: the names, the bars, a row, the scale.
const NAMES: f64 = 180.0;
const BARS: f64 = 760.0;
const ROW: f64 = 26.0;
const SCALE: f64 = 22.0;
/// A bar from this width on has its name in it.
const LABELLED: f64 = 120.0;
/// Lines of the scale, at most.
const TICKS: f64 = 8.0;

/// What a bar means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Services work.
    Working,
    /// Services stand still.
    Down,
    /// Nothing happens: the operator waits between PREPARE and FREEZE.
    Waiting,
}

impl Kind {
    pub(crate) const ALL: [(Self, &'static str); 3] = [
        (Self::Working, "services work"),
        (Self::Down, "services stand still"),
        (Self::Waiting, "prepared, nothing happens"),
    ];

    pub(crate) const fn colour(self) -> &'static str {
        match self {
            Self::Working => "#7fb8de",
            Self::Down => "#c0392b",
            Self::Waiting => "#a8a8a8",
        }
    }
}

/// A bar: its name, its time in milliseconds from the first mark, its meaning.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Bar {
    pub(crate) name: String,
    pub(crate) time: Range<f64>,
    pub(crate) kind: Kind,
}

/// A row: its name and its bars.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) bars: Vec<Bar>,
}

/// From one mark of the host to the next.
const STEPS: [(MarkKind, MarkKind, &str, Kind); 7] = [
    (MarkKind::Requested, MarkKind::Loaded, "load", Kind::Working),
    (
        MarkKind::PrepareStarted,
        MarkKind::Prepared,
        "prepare",
        Kind::Working,
    ),
    (
        MarkKind::Prepared,
        MarkKind::FreezeStarted,
        "prepared",
        Kind::Waiting,
    ),
    (
        MarkKind::FreezeStarted,
        MarkKind::RebootCalled,
        "freeze",
        Kind::Down,
    ),
    (
        MarkKind::RebootCalled,
        MarkKind::KernelStarted,
        "shutdown and jump",
        Kind::Down,
    ),
    (
        MarkKind::KernelStarted,
        MarkKind::AgentStarted,
        "kernel to agent",
        Kind::Down,
    ),
    (
        MarkKind::AgentStarted,
        MarkKind::SessionsRetrieved,
        "retrieve sessions",
        Kind::Down,
    ),
];

/// The host's row, then one for each service.
pub(crate) fn rows(report: &Report) -> Vec<Row> {
    let clock = Clock::of(&report.timeline);
    let host = |kind| clock.of_mark(kind, None);
    let mut bars: Vec<Bar> = STEPS
        .iter()
        .filter_map(|&(from, to, name, kind)| bar(name, host(from)?, host(to)?, kind))
        .collect();
    let is_split = bars.iter().any(|bar| bar.name == "shutdown and jump");
    if !is_split {
        // The next kernel's clock is another one's, as on an emulated machine.
        let called = host(MarkKind::RebootCalled).zip(host(MarkKind::AgentStarted));
        bars.retain(|bar| bar.name != "kernel to agent");
        bars.extend(called.and_then(|(from, to)| bar("jump to agent", from, to, Kind::Down)));
    }
    // Until the last service runs again; what is left is letting go of what was handed over.
    let retrieved = host(MarkKind::SessionsRetrieved);
    let running = clock.last(MarkKind::ServiceRunning).or(retrieved);
    let start = retrieved.zip(running);
    bars.extend(start.and_then(|(from, to)| bar("services start", from, to, Kind::Down)));
    let finish = running.zip(host(MarkKind::Finished));
    bars.extend(finish.and_then(|(from, to)| bar("finish", from, to, Kind::Working)));
    let mut rows = vec![Row {
        name: "host".to_owned(),
        bars,
    }];
    rows.extend(report.clients.iter().map(|client| {
        let of = |kind| clock.of_mark(kind, Some(&client.service));
        let frozen = of(MarkKind::ServiceFrozen).or_else(|| host(MarkKind::FreezeStarted));
        let running = of(MarkKind::ServiceRunning);
        let down = frozen.zip(running);
        let down = down.and_then(|(from, to)| bar("down", from, to, Kind::Down));
        let again = running.zip(of(MarkKind::ServiceFinished));
        let again = again.and_then(|(from, to)| bar("until finished", from, to, Kind::Working));
        Row {
            name: client.service.clone(),
            bars: down.into_iter().chain(again).collect(),
        }
    }));
    rows
}

fn bar(name: &str, from: f64, to: f64, kind: Kind) -> Option<Bar> {
    (from <= to).then(|| Bar {
        name: name.to_owned(),
        time: from..to,
        kind,
    })
}

/// Milliseconds from the first mark.
struct Clock<'a> {
    timeline: &'a Timeline,
}

impl<'a> Clock<'a> {
    const fn of(timeline: &'a Timeline) -> Self {
        Self { timeline }
    }

    fn of_mark(&self, kind: MarkKind, service: Option<&str>) -> Option<f64> {
        let is_it = |mark: &&Mark| mark.kind == kind && mark.service.as_deref() == service;
        self.at(self.timeline.marks.iter().find(is_it)?)
    }

    /// The last mark of a kind, whoever's.
    fn last(&self, kind: MarkKind) -> Option<f64> {
        let mut marks = self.timeline.marks.iter().rev();
        self.at(marks.find(|mark| mark.kind == kind)?)
    }

    fn at(&self, mark: &Mark) -> Option<f64> {
        let first = self.timeline.marks.first()?;
        let passed = self.timeline.between(first.at, mark.at)?;
        Some(passed.as_secs_f64() * 1e3)
    }
}

/// From the first to the last moment at which a service stands still.
pub(crate) fn blackout(rows: &[Row]) -> Option<Range<f64>> {
    let bars = rows.iter().flat_map(|row| &row.bars);
    let down: Vec<&Bar> = bars.filter(|bar| bar.kind == Kind::Down).collect();
    let start = down.iter().map(|bar| bar.time.start).reduce(f64::min)?;
    let end = down.iter().map(|bar| bar.time.end).reduce(f64::max)?;
    (start < end).then_some(start..end)
}

/// All of it.
pub(crate) fn whole(rows: &[Row]) -> Option<Range<f64>> {
    let bars = rows.iter().flat_map(|row| &row.bars);
    let end = bars.map(|bar| bar.time.end).reduce(f64::max)?;
    (end > 0.0).then_some(0.0..end)
}

/// The picture of a time.
pub(crate) fn svg(rows: &[Row], time: &Range<f64>) -> String {
    let length = (time.end - time.start).max(f64::MIN_POSITIVE);
    let x = |at: f64| NAMES + (at.clamp(time.start, time.end) - time.start) / length * BARS;
    #[expect(clippy::cast_precision_loss, reason = "a number of rows")]
    let bottom = rows.len() as f64 * ROW;
    let (width, height) = (NAMES + BARS + 20.0, bottom + SCALE);
    let mut svg = String::new();
    let _infallible = writeln!(
        svg,
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">"
    );
    let step = step(length);
    let mut at = 0.0;
    while at <= length {
        let line = x(time.start + at);
        let _infallible = writeln!(
            svg,
            "<line x1=\"{line:.1}\" x2=\"{line:.1}\" y1=\"0\" y2=\"{bottom}\" stroke=\"#ddd\"/>\
             <text x=\"{line:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"#666\">{}</text>",
            bottom + SCALE - 6.0,
            duration(at)
        );
        at += step;
    }
    let mut y = 0.0;
    for row in rows {
        let _infallible = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            NAMES - 8.0,
            y + ROW * 0.65,
            escape(&row.name)
        );
        for bar in &row.bars {
            let is_seen = bar.time.end > time.start && bar.time.start < time.end;
            if !is_seen && !bar.time.is_empty() {
                continue;
            }
            let (from, to) = (x(bar.time.start), x(bar.time.end));
            let _infallible = writeln!(
                svg,
                "<rect x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\" \
                 stroke=\"#fff\" fill=\"{}\"><title>{}: {}</title></rect>",
                y + 4.0,
                (to - from).max(1.0),
                ROW - 8.0,
                bar.kind.colour(),
                escape(&bar.name),
                duration(bar.time.end - bar.time.start)
            );
            if to - from > LABELLED {
                let _infallible = writeln!(
                    svg,
                    "<text x=\"{:.1}\" y=\"{:.1}\" fill=\"#fff\" pointer-events=\"none\">{}</text>",
                    from + 6.0,
                    y + ROW * 0.65,
                    escape(&bar.name)
                );
            }
        }
        y += ROW;
    }
    svg.push_str("</svg>\n");
    svg
}

/// A round number of milliseconds of which there are few in `length`.
fn step(length: f64) -> f64 {
    let mut step = 10_f64.powf((length / TICKS).log10().floor());
    for factor in [2.0, 2.5, 2.0] {
        if length / step <= TICKS {
            break;
        }
        step *= factor;
    }
    step
}

/// Milliseconds for people.
pub(crate) fn duration(ms: f64) -> String {
    if ms >= 60_000.0 {
        format!("{:.1} min", ms / 60_000.0)
    } else if ms >= 1000.0 {
        format!("{:.2} s", ms / 1000.0)
    } else if ms >= 10.0 || ms == 0.0 {
        format!("{ms:.0} ms")
    } else {
        format!("{ms:.1} ms")
    }
}

/// Text as it may stand in HTML.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
