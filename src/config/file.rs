//! The configuration as it is written: TOML in, checked [`Config`](super::Config) or a list of problems out.
