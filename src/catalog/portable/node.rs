//! JSON as a tree that keeps the order of members.
//!
//! Models read the properties of a tool in their order. Owns reading and writing such a tree.

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

use crate::text::beginning;

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Object(Vec<(String, Node)>),
    Array(Vec<Node>),
    /// Anything else.
    Leaf(Value),
}

impl Node {
    /// The value of a member; of duplicates the last one.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        let found = self.members().iter().rev().find(|(key, _)| key == name);
        found.map(|(_, value)| value)
    }

    /// The members of an object; none for anything else.
    pub(super) fn members(&self) -> &[(String, Self)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The elements of an array; none for anything else.
    pub(super) fn elements(&self) -> &[Self] {
        match self {
            Self::Array(elements) => elements,
            _ => &[],
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Leaf(value) => value.as_str(),
            _ => None,
        }
    }

    pub(super) fn number(&self) -> Option<f64> {
        match self {
            Self::Leaf(value) => value.as_f64(),
            _ => None,
        }
    }

    /// What a JSON pointer without its `#` leads to.
    pub(super) fn pointer(&self, pointer: &str) -> Option<&Self> {
        let mut at = self;
        let mut steps = pointer.split('/');
        // Before the first slash is nothing.
        if !steps.next()?.is_empty() {
            return None;
        }
        for step in steps {
            let name = step.replace("~1", "/").replace("~0", "~");
            at = match at {
                Self::Object(_) => at.get(&name)?,
                Self::Array(elements) => elements.get(name.parse::<usize>().ok()?)?,
                Self::Leaf(_) => return None,
            };
        }
        Some(at)
    }

    /// Its text on one line; if that is longer than `most` bytes, its beginning.
    pub(super) fn shortened(&self, most: usize) -> String {
        let mut text = String::new();
        self.write(&mut text, most);
        if text.len() > most {
            text.truncate(beginning(&text, most).len());
            text.push('…');
        }
        text
    }

    /// Writes until there is more than `most` bytes: what follows is not looked at.
    fn write(&self, out: &mut String, most: usize) {
        match self {
            Self::Leaf(Value::String(text)) if text.len() > most => {
                out.push_str(&Value::from(text.chars().take(most).collect::<String>()).to_string());
            }
            Self::Leaf(value) => out.push_str(&value.to_string()),
            Self::Array(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    if out.len() > most {
                        return;
                    }
                    out.push_str(if at == 0 { "" } else { "," });
                    element.write(out, most);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    if out.len() > most {
                        return;
                    }
                    out.push_str(if at == 0 { "" } else { "," });
                    out.push_str(&Value::from(&**name).to_string());
                    out.push(':');
                    value.write(out, most);
                }
                out.push('}');
            }
        }
    }
}

impl Serialize for Node {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Leaf(value) => value.serialize(serializer),
            Self::Array(elements) => serializer.collect_seq(elements),
            Self::Object(members) => {
                let mut map = serializer.serialize_map(Some(members.len()))?;
                for (name, value) in members {
                    map.serialize_entry(name, value)?;
                }
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = Node;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Leaf(Value::Null))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_str<E>(self, value: &str) -> Result<Node, E> {
        Ok(Node::Leaf(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Node, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = seq.next_element()? {
            elements.push(element);
        }
        Ok(Node::Array(elements))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Node, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(Node::Object(members))
    }
}
