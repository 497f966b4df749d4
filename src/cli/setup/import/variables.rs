//! Variables that clients' entries bring: for the `env` of the gateway's entry.
//!
//! Owns that none stands there twice, and that none has the value of another entry unseen.

use crate::client_config::servers::{Remote, UNCHECKED, has_variables};

/// A variable that an entry of a client brings.
#[derive(Debug)]
struct Variable {
    from: EntryId,
    name: String,
    value: String,
    is_token: bool,
}

/// An entry of a client.
#[derive(Debug, Clone, Copy)]
pub(super) struct EntryId {
    /// The id of the client.
    pub(super) client: &'static str,
    /// The number of its line.
    pub(super) line: usize,
}

/// The variables that entries bring.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<Variable>);

impl Variables {
    /// Variables for the `env` of this client's entry: those that were `made`, its own, and what only others'
    /// entries bring.
    pub(super) fn env<'a>(
        &'a self,
        client: &str,
        made: impl Iterator<Item = &'a (String, String)>,
    ) -> Vec<(String, String)> {
        let own = self.0.iter().filter(|one| one.from.client == client);
        let others = self.0.iter().filter(|one| one.from.client != client);
        let brought = own.chain(others).map(|one| (&one.name, &one.value));
        let mut env: Vec<(String, String)> = Vec::new();
        for (name, value) in made.map(|(name, value)| (name, value)).chain(brought) {
            if env.iter().all(|(known, _)| known != name) {
                env.push((name.clone(), value.clone()));
            }
        }
        env
    }

    /// The names of those that are tokens.
    pub(super) fn tokens(&self) -> impl Iterator<Item = &String> {
        let tokens = self.0.iter().filter(|one| one.is_token);
        tokens.map(|one| &one.name)
    }

    /// An entry stays: it brings nothing.
    pub(super) fn leave(&mut self, line: usize) {
        self.0.retain(|one| one.from.line != line);
    }

    /// Brings a variable of an entry.
    ///
    /// # Errors
    /// If another entry of the client has brought another value.
    pub(super) fn bring(
        &mut self,
        from: EntryId,
        (name, value): (&str, &str),
        is_token: bool,
    ) -> Result<(), String> {
        let is_it = |one: &&Variable| one.from.client == from.client && one.name == name;
        match self.0.iter().find(is_it) {
            Some(known) if known.value != value => {
                Err(format!("another entry has another value for {name}"))
            }
            // Also a second time: the entry that brought it first may stay.
            _ => {
                self.0.push(Variable {
                    from,
                    name: name.to_owned(),
                    value: value.to_owned(),
                    is_token,
                });
                Ok(())
            }
        }
    }

    /// Brings the proxies of an entry, and says what of its environment is not taken over.
    pub(super) fn bring_surroundings(
        &mut self,
        from: EntryId,
        remote: &Remote,
        notes: &mut Vec<String>,
    ) {
        for (name, value) in &remote.proxies {
            let brought = match has_variables(value) || value.contains("{env:") {
                true => Err("it holds a variable of the client".to_owned()),
                false => self.bring(from, (name, value), false),
            };
            notes.push(match brought {
                Ok(()) => format!(
                    "{name} goes into the env of the gateway's entry, and counts for every backend"
                ),
                Err(why) => format!("{name} is not taken over: {why}"),
            });
        }
        if remote.is_unchecked {
            notes.push(UNCHECKED.to_owned());
        }
    }
}
