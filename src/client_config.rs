//! Where MCP clients keep their servers, and how an entry of such a file is written: tables and edits.
//!
//! Owns which clients are known ([`clients`]), the paths of their files ([`places`]), the shape of an
//! entry ([`entry`]), and edits that leave every byte outside of an entry as it is ([`edit`]). Pure: it
//! must not read or write files, nor start what an entry names.

pub(crate) mod clients;
pub(crate) mod edit;
pub(crate) mod entry;
pub(crate) mod import;
mod json;
pub(crate) mod places;
pub(crate) mod servers;
pub(crate) mod snippet;
mod splice;
mod toml;
