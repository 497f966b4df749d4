//! Messages of a backend outside of calls, in both eras and on every transport: the GET stream,
//! subscriptions, log levels and resumed streams.

mod fixture;
mod get_stream;
mod http_sse;
mod log_levels;
mod resource_subscriptions;
mod resume;
mod sessions;
mod subscription_stream;
