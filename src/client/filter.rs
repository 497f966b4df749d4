//! The notification filter of a subscription (MCP 2026-07-28, basic/patterns/subscriptions,
//! "Notification Filter").
//!
//! Owns reading and writing the filter, and matching notifications against it. Pure; it must not
//! know which client has subscribed.

use bytes::Bytes;

use crate::protocol::message::elements;
use crate::protocol::{Notification, RawJson, task};

/// A notification filter.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    lists: Vec<List>,
    /// URIs of the resources whose changes pass.
    pub(crate) uris: Vec<String>,
    /// Ids of the tasks whose states pass, as clients know them; `None` if it does not say.
    pub(crate) tasks: Option<Vec<String>>,
}

/// A list whose changes can be subscribed to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum List {
    Tools,
    Prompts,
    Resources,
}

impl List {
    const ALL: [Self; 3] = [Self::Tools, Self::Prompts, Self::Resources];

    fn flag(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Prompts => "promptsListChanged",
            Self::Resources => "resourcesListChanged",
        }
    }

    fn notification(self) -> &'static str {
        match self {
            Self::Tools => "notifications/tools/list_changed",
            Self::Prompts => "notifications/prompts/list_changed",
            Self::Resources => "notifications/resources/list_changed",
        }
    }
}

impl Filter {
    /// Reads `params.notifications`. Unknown members are ignored.
    ///
    /// # Errors
    /// What is wrong with it, for an error message.
    pub(crate) fn read(params: Option<&RawJson>) -> Result<Self, String> {
        let wanted = params.and_then(|params| params.get("notifications"));
        let wanted = wanted
            .filter(RawJson::is_object)
            .ok_or("params need the object \"notifications\"")?;
        let mut lists = Vec::new();
        for list in List::ALL {
            match wanted.get(list.flag()).as_ref().map(RawJson::as_str) {
                Some("true") => lists.push(list),
                None | Some("false" | "null") => {}
                Some(_) => return Err(format!("{:?} must be true or false", list.flag())),
            }
        }
        let names = |member: &str| match wanted.get(member) {
            None => Ok(None),
            Some(names) => elements(&names)
                .and_then(|names| names.iter().map(RawJson::text).collect())
                .ok_or_else(|| format!("{member:?} must be an array of strings"))
                .map(Some),
        };
        Ok(Self {
            lists,
            uris: names("resourceSubscriptions")?.unwrap_or_default(),
            tasks: names("taskIds")?,
        })
    }

    /// The filter as the acknowledgement repeats it.
    pub(super) fn as_json(&self) -> RawJson {
        let flags = self
            .lists
            .iter()
            .map(|list| (list.flag(), Bytes::from_static(b"true")));
        let tasks = self.tasks.as_deref().unwrap_or_default();
        let names = [
            ("resourceSubscriptions", self.uris.as_slice()),
            ("taskIds", tasks),
        ];
        let names = names.into_iter().filter(|(_, names)| !names.is_empty());
        let names = names.map(|(member, names)| {
            let names = serde_json::to_vec(names).unwrap_or_else(|_| b"[]".to_vec());
            (member, Bytes::from(names))
        });
        let members: Vec<(&str, Bytes)> = flags.chain(names).collect();
        RawJson::trusted("{}").with_members(&members, &[])
    }

    /// Whether a notification passes the filter.
    pub(super) fn wants(&self, notification: &Notification) -> bool {
        if let Some(uri) = updated(notification) {
            return self.uris.iter().any(|wanted| covers(wanted, &uri));
        }
        if notification.method == task::STATE {
            let id = task::of_notification(notification);
            return id.is_some_and(|id| self.tasks.iter().flatten().any(|wanted| *wanted == id));
        }
        let mut lists = self.lists.iter();
        lists.any(|list| list.notification() == notification.method)
    }
}

/// The URI of a `notifications/resources/updated`; `None` for any other notification.
pub(super) fn updated(notification: &Notification) -> Option<String> {
    let params = notification.params.as_ref();
    let params = params.filter(|_| notification.method == "notifications/resources/updated");
    params?.get("uri")?.text()
}

/// Whether a subscription to `wanted` is about `uri`: a server may name a part of what was
/// subscribed to (MCP 2025-11-25, server/resources).
pub(super) fn covers(wanted: &str, uri: &str) -> bool {
    uri.strip_prefix(wanted).is_some_and(|rest| {
        rest.is_empty() || wanted.ends_with('/') || rest.starts_with(['/', '#', '?'])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filter(notifications: &str) -> Result<Filter, String> {
        let params = format!(r#"{{"notifications":{notifications}}}"#);
        Filter::read(Some(&RawJson::trusted(params)))
    }

    #[test]
    fn unknown_members_of_a_filter_are_ignored_and_invalid_ones_refused() {
        let all = r#"{"toolsListChanged":true,"promptsListChanged":false,"resourcesListChanged":null,"resourceSubscriptions":["a:/b"],"taskIds":["a:1"],"other":1}"#;
        let filter = filter(all).unwrap();
        assert_eq!(
            filter.as_json().as_str(),
            r#"{"toolsListChanged":true,"resourceSubscriptions":["a:/b"],"taskIds":["a:1"]}"#
        );
        for bad in [
            "7",
            r#"{"toolsListChanged":"yes"}"#,
            r#"{"resourceSubscriptions":[1]}"#,
            r#"{"taskIds":"a:1"}"#,
        ] {
            assert!(self::filter(bad).is_err(), "{bad}");
        }
        assert!(Filter::read(None).is_err());
    }

    #[test]
    fn a_subscription_covers_parts_of_its_resource() {
        assert!(covers("file:///a", "file:///a"));
        assert!(covers("file:///a", "file:///a/b"));
        assert!(covers("file:///a/", "file:///a/b"));
        assert!(!covers("file:///a", "file:///ab"));
        assert!(!covers("file:///a", "file:///"));
    }
}
