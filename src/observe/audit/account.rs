//! The account that this process runs as.
//!
//! Owns where its name is looked for, and in which order.

/// Its name. A variable may be wrong or missing, so on Unix the system's list counts first; an account that
/// neither names has its number.
pub(super) fn of_process() -> String {
    #[cfg(unix)]
    {
        let id = rustix::process::geteuid().as_raw().to_string();
        let list = crate::files::read_up_to("/etc/passwd".as_ref(), MAX_BYTES).unwrap_or_default();
        let listed = name_in(&String::from_utf8_lossy(&list), &id);
        listed
            .or_else(|| variable(&["USER", "LOGNAME"]))
            .unwrap_or(id)
    }
    #[cfg(not(unix))]
    variable(&["USERNAME"]).unwrap_or_default()
}

/// Most bytes of the list that are read.
#[cfg(unix)]
const MAX_BYTES: u64 = 1 << 20;

/// The name of this user id in a list of accounts (passwd(5)).
#[cfg(unix)]
fn name_in(list: &str, id: &str) -> Option<String> {
    let mut accounts = list.lines().map(|line| line.split(':'));
    accounts.find_map(|mut account| {
        let name = account.next().filter(|name| !name.is_empty())?;
        (account.nth(1) == Some(id)).then(|| name.to_owned())
    })
}

fn variable(names: &[&str]) -> Option<String> {
    let mut values = names.iter().filter_map(|name| std::env::var(name).ok());
    values.find(|value| !value.is_empty())
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn an_account_is_found_by_its_number() {
        let list =
            "root:x:0:0:root:/root:/bin/sh\n\n+\nada:x:1000:100::/home/ada:\n:x:7:\nbob:x:10:";
        assert_eq!(name_in(list, "1000").as_deref(), Some("ada"));
        assert_eq!(name_in(list, "10").as_deref(), Some("bob"));
        for id in ["100", "7", "x"] {
            assert_eq!(name_in(list, id), None, "{id}");
        }
    }
}
