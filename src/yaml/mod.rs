//! YAML as Transom reads it: nodes that know their place, settings taken key by key, and problems drawn with `file:line:column` and excerpt.
//!
//! A file becomes a [`Node`] tree ([`parse()`]); whoever reads a mapping takes its keys from [`Settings`], which reports what is left over. A scalar keeps its text
//! until a type asks for a number, so `1.10` stays `1.10`. Nothing stops at the first mistake: every problem goes to [`Problems`].

mod draw;
pub mod manual;
mod node;
mod parse;
mod problem;
mod settings;
mod slip;
pub mod units;
mod value;

pub use node::{Key, Kind, Node, Source, Span};
pub use parse::parse;
pub use problem::{Fix, Level, Problem, Problems, Reported, nearest};
pub use settings::Settings;
pub use slip::{Edit, quoted};
pub use units::{Rate, Size};
pub use value::{FromNode, OneOrMany};
