//! `login` and `logout`: a person signs in to backends, or out.
//!
//! Owns both commands, and the browser that a sign-in opens. The steps of a sign-in are `auth::login`'s.

mod browser;
mod login;
mod logout;

pub(super) use login::login;
pub(super) use logout::logout;
