//! A report as metrics: the text format of Prometheus, version 0.0.4.

use std::fmt::Write as _;

use update::Report;

/// The report of the last update as metrics. Times are in seconds, as Prometheus wants them.
pub fn to_metrics(report: &Report) -> String {
    let mut text = String::new();
    let mut family = |name: &str, help: &str, samples: &[(String, f64)]| {
        if samples.is_empty() {
            return;
        }
        let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (labels, value) in samples {
            let _infallible = writeln!(text, "{name}{labels} {value}");
        }
    };
    let one = |value: f64| vec![(String::new(), value)];
    let labels = format!(
        "{{update=\"{}\",from=\"{}\",to=\"{}\",cancelled=\"{}\"}}",
        label(&report.update_id),
        label(&report.from_release),
        label(report.to_release.as_deref().unwrap_or_default()),
        report.cancelled.is_some()
    );
    family("liveupdate_info", "The last update.", &[(labels, 1.0)]);
    #[expect(clippy::cast_precision_loss, reason = "counts of updates")]
    let number = report.liveupdate_number.map(|number| number as f64);
    let help = "Live updates since the cold boot.";
    family(
        "liveupdate_number",
        help,
        &number.map(one).unwrap_or_default(),
    );
    let count = report.kexec_count.map(f64::from);
    let help = "Kexecs with a handover since the cold boot.";
    family(
        "liveupdate_kexec_count",
        help,
        &count.map(one).unwrap_or_default(),
    );
    let blackout = report.blackout_ms.map(|ms| ms / 1e3);
    let help = "From the first service frozen to the last one running again.";
    family(
        "liveupdate_blackout_seconds",
        help,
        &blackout.map(one).unwrap_or_default(),
    );
    let phases: Vec<_> = report
        .phases
        .iter()
        .map(|phase| {
            (
                format!("{{phase=\"{}\"}}", label(&phase.name)),
                phase.ms / 1e3,
            )
        })
        .collect();
    family(
        "liveupdate_phase_seconds",
        "How long each step took.",
        &phases,
    );
    let of = |value: &dyn Fn(&update::ClientReport) -> Option<f64>| -> Vec<_> {
        let clients = report.clients.iter();
        let sample = clients.filter_map(|client| {
            let labels = format!("{{service=\"{}\"}}", label(&client.service));
            Some((labels, value(client)?))
        });
        sample.collect()
    };
    let help = "From a service's freeze to its running again.";
    let down = of(&|client| Some(client.blackout_ms? / 1e3));
    family("liveupdate_service_blackout_seconds", help, &down);
    #[expect(clippy::cast_precision_loss, reason = "exact up to 8 PiB")]
    let bytes = of(&|client| Some(client.bytes as f64));
    family(
        "liveupdate_service_kept_bytes",
        "Bytes kept for a service.",
        &bytes,
    );
    let unfinished = of(&|client| Some(if client.is_unfinished { 1.0 } else { 0.0 }));
    let help = "Whether a service has not finished its session.";
    family("liveupdate_service_unfinished", help, &unfinished);
    let lost = ["true", "false"].map(|required| {
        let is_it = |lost: &&update::LostItem| lost.is_required == (required == "true");
        #[expect(clippy::cast_precision_loss, reason = "a number of items")]
        let count = report.lost.iter().filter(is_it).count() as f64;
        (format!("{{required=\"{required}\"}}"), count)
    });
    family(
        "liveupdate_lost_items",
        "Items that did not come over.",
        &lost,
    );
    text
}

/// A label's value: backslash, quote and line feed are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n")
}
