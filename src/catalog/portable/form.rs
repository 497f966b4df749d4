//! What a schema says, in the words that every model's API has, and the rest as rules.
//!
//! Owns [`Form`] and how two of them hold at once.

use super::node::Node;

/// Types as a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Types(u8);

/// The types but `null`, in the order in which alternatives are written. A number takes integers.
pub(super) const NAMES: [&str; 6] = ["string", "integer", "number", "boolean", "object", "array"];
const NULL: u8 = 1 << 6;
const INTEGER: u8 = 1 << 1;
const NUMBER: u8 = 1 << 2;

impl Types {
    pub(super) const ALL: Self = Self(0x7f);
    pub(super) const NONE: Self = Self(0);
    pub(super) const NULL: Self = Self(NULL);

    /// The type of that name; `None` for a name that doesn't exist.
    pub(super) fn named(name: &str) -> Option<Self> {
        let at = NAMES.iter().position(|known| *known == name);
        match (at, name) {
            (Some(at), "number") => Some(Self(1 << at | INTEGER)),
            (Some(at), _) => Some(Self(1 << at)),
            (None, "null") => Some(Self::NULL),
            (None, _) => None,
        }
    }

    /// The type of a value.
    pub(super) fn of(value: &Node) -> Self {
        let name = match value {
            Node::Object(_) => "object",
            Node::Array(_) => "array",
            Node::Leaf(leaf) if leaf.is_string() => "string",
            Node::Leaf(leaf) if leaf.is_boolean() => "boolean",
            Node::Leaf(leaf) if leaf.is_null() => "null",
            Node::Leaf(leaf) => match leaf.as_f64().is_some_and(|n| n.fract() == 0.0) {
                true => "integer",
                false => "number",
            },
        };
        Self::named(name).unwrap_or(Self::NONE)
    }

    pub(super) fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(super) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(super) fn without_null(self) -> Self {
        Self(self.0 & !NULL)
    }

    pub(super) fn has_null(self) -> bool {
        self.0 & NULL != 0
    }

    pub(super) fn is_none(self) -> bool {
        self.0 == 0
    }

    /// The names of its types but `null`; an integer is not named beside a number.
    pub(super) fn names(self) -> Vec<&'static str> {
        let covered = if self.0 & NUMBER != 0 { INTEGER } else { 0 };
        let names = NAMES.into_iter().enumerate();
        let names = names.filter(|(at, _)| (self.0 & !covered) & 1 << at != 0);
        names.map(|(_, name)| name).collect()
    }

    pub(super) fn has(self, name: &str) -> bool {
        Self::named(name).is_some_and(|kind| self.0 & kind.0 != 0)
    }
}

/// What a schema says.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Form {
    pub(super) types: Types,
    /// Whether a type is named, here or in what is merged.
    pub(super) is_typed: bool,
    pub(super) description: Option<String>,
    pub(super) default: Option<Node>,
    /// The only values.
    pub(super) choices: Option<Vec<Node>>,
    /// Simple limits by their keyword, such as `minLength`.
    pub(super) limits: Vec<(&'static str, Node)>,
    pub(super) pattern: Option<String>,
    pub(super) format: Option<String>,
    pub(super) items: Option<Box<Form>>,
    pub(super) properties: Vec<(String, Form)>,
    pub(super) required: Vec<String>,
    /// One of these holds too, if there are any.
    pub(super) alternatives: Vec<Form>,
    /// What can't be said otherwise.
    pub(super) rules: Vec<String>,
    /// The schema as it is written.
    pub(super) written: String,
}

impl Default for Form {
    fn default() -> Self {
        Self {
            types: Types::ALL,
            is_typed: false,
            description: None,
            default: None,
            choices: None,
            limits: Vec::new(),
            pattern: None,
            format: None,
            items: None,
            properties: Vec::new(),
            required: Vec::new(),
            alternatives: Vec::new(),
            rules: Vec::new(),
            written: "{}".to_owned(),
        }
    }
}

impl Form {
    /// Takes no value at all.
    pub(super) fn never() -> Self {
        Self {
            types: Types::NONE,
            is_typed: true,
            written: "false".to_owned(),
            ..Self::default()
        }
    }

    /// Takes every string.
    pub(super) fn text() -> Self {
        Self {
            types: Types(1),
            is_typed: true,
            ..Self::default()
        }
    }

    /// Takes every value, and says why in a rule.
    pub(super) fn anything(rule: String) -> Self {
        Self {
            rules: vec![rule],
            ..Self::default()
        }
    }

    /// How many schemas it is.
    pub(super) fn weight(&self) -> usize {
        let within = self.properties.iter().map(|(_, form)| form);
        let within = within
            .chain(&self.alternatives)
            .chain(self.items.as_deref());
        1 + within.map(Self::weight).sum::<usize>()
    }

    /// Whether it says nothing about values.
    pub(super) fn is_open(&self) -> bool {
        let bare = Self {
            description: self.description.clone(),
            default: self.default.clone(),
            rules: self.rules.clone(),
            written: self.written.clone(),
            ..Self::default()
        };
        *self == bare
    }

    /// A form that both hold at once. What can't be said twice is said as a rule.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.types = self.types.and(other.types);
        self.is_typed |= other.is_typed;
        self.description = self.description.or(other.description);
        self.default = self.default.or(other.default);
        self.choices = match (self.choices, other.choices) {
            (Some(mut ours), Some(theirs)) => {
                ours.retain(|choice| theirs.contains(choice));
                Some(ours)
            }
            (ours, theirs) => ours.or(theirs),
        };
        for (name, limit) in other.limits {
            self.limit(name, limit);
        }
        for (ours, theirs, name) in [
            (&mut self.pattern, other.pattern, "pattern"),
            (&mut self.format, other.format, "format"),
        ] {
            match theirs {
                Some(theirs) if ours.as_ref().is_some_and(|ours| *ours != theirs) => {
                    self.rules.push(format!("{name} {theirs:?} too"));
                }
                Some(theirs) => *ours = Some(theirs),
                None => {}
            }
        }
        self.items = match (self.items, other.items) {
            (Some(ours), Some(theirs)) => Some(Box::new(ours.and(*theirs))),
            (ours, theirs) => ours.or(theirs),
        };
        for (name, theirs) in other.properties {
            match self.properties.iter_mut().find(|(known, _)| *known == name) {
                Some((_, ours)) => *ours = std::mem::take(ours).and(theirs),
                None => self.properties.push((name, theirs)),
            }
        }
        for name in other.required {
            if !self.required.contains(&name) {
                self.required.push(name);
            }
        }
        self.rules.extend(other.rules);
        match (self.alternatives.is_empty(), other.alternatives.is_empty()) {
            (true, _) => self.alternatives = other.alternatives,
            (false, true) => {}
            (false, false) => {
                let written: Vec<&str> = other
                    .alternatives
                    .iter()
                    .map(|form| &*form.written)
                    .collect();
                self.rules
                    .push(format!("one of these holds too: {}", written.join(" or ")));
            }
        }
        self
    }

    /// Sets a limit; of two the narrower one holds.
    pub(super) fn limit(&mut self, name: &'static str, limit: Node) {
        let is_least = name.starts_with("min");
        match self.limits.iter_mut().find(|(known, _)| *known == name) {
            Some((_, ours)) => {
                let (old, new) = (ours.number(), limit.number());
                if (is_least && new > old) || (!is_least && new < old) {
                    *ours = limit;
                }
            }
            None => self.limits.push((name, limit)),
        }
    }
}
