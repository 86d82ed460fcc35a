//! A handover for people and programs: [`View`] is what was read, as JSON by serde, as text by
//! [`View::to_text`], as a page with a picture of memory by [`View::to_html`].

mod collect;
mod html;
mod map;
mod model;
mod text;

pub use collect::collect;
pub use model::{
    Area, Block, Extent, File, Flb, Memfd, Metadata, Problem, Pstore, PstoreRecord, Region,
    Session, Subtree, Totals, View,
};
pub use text::printable;
