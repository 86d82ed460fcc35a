//! As a service of systemd: readiness, signs of life, and word of shutdowns.

use std::sync::Arc;
use std::thread;

use anyhow::Context as _;
use luod_engine::{Engine, ServiceManager};
use systemd_host::notify;

/// Tells systemd that luod serves, and goes on telling that it lives. Without systemd nothing happens.
pub(crate) fn start(
    engine: &Arc<Engine>,
    service_manager: Option<Arc<ServiceManager>>,
) -> anyhow::Result<()> {
    if let Some(manager) = service_manager {
        let engine = Arc::clone(engine);
        thread::Builder::new()
            .name("shutdowns".to_owned())
            .spawn(move || manager.watch(&engine))?;
    }
    if let Some(limit) = notify::watchdog() {
        let engine = Arc::clone(engine);
        thread::Builder::new()
            .name("watchdog".to_owned())
            .spawn(move || {
                loop {
                    // A sign of life of the engine, not of this thread.
                    engine.wait_for_answer();
                    if let Err(error) = notify::alive() {
                        tracing::warn!(%error, "no sign of life was sent");
                    }
                    thread::sleep(limit / 3);
                }
            })?;
    }
    notify::ready().context("telling systemd that luod serves")
}
