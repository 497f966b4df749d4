//! The parts of the scale. Each helper process is this same executable, started again with a first argument that names its role.

pub(crate) mod call;
pub(crate) mod direct;
pub(crate) mod drive;
pub(crate) mod http;
pub(crate) mod mock;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod sections;
pub(crate) mod sheet;
pub(crate) mod stats;
pub(crate) mod stdio;
pub(crate) mod table;
pub(crate) mod targets;
pub(crate) mod usage;

/// A bench stops at the first trouble, with its text; nothing here is handled by kind.
pub(crate) type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;
