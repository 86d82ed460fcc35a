//! The report of an update, for others than terminals: [`to_html`] makes one page with a timeline,
//! [`to_metrics`] the text that Prometheus reads.

mod chart;
mod html;
mod metrics;

pub use html::to_html;
pub use metrics::to_metrics;

#[cfg(test)]
mod tests;
