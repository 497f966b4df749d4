//! The schemas that are about one value: a schema, what it refers to, and its alternatives.
//!
//! Owns how references are followed, and how much of a schema is read. Pure; it must not know what is
//! looked for.

use std::collections::BTreeSet;

use crate::catalog::rejected::{MAX_BYTES, label};
use crate::protocol::message::elements;
use crate::protocol::{RawJson, task};

/// Deepest schema within a schema that is read, references included.
pub(super) const MAX_DEPTH: usize = 24;
/// Lists of schemas that are about the same value as the schema that has them.
pub(super) const ALTERNATIVES: [&str; 3] = ["allOf", "anyOf", "oneOf"];
/// Single ones.
pub(super) const BRANCHES: [&str; 2] = ["then", "else"];
/// Schemas by name that are about the same value.
pub(super) const DEPENDENT: [&str; 2] = ["dependentSchemas", "dependencies"];
/// Members that say nothing of a value, or only to people.
const ANNOTATIONS: [&str; 10] = [
    "title",
    "description",
    "default",
    "examples",
    "deprecated",
    "readOnly",
    "writeOnly",
    "$comment",
    "$defs",
    "definitions",
];

/// What is read of the schema of one tool.
pub(super) struct SchemaWalk<'a> {
    root: &'a RawJson,
    /// Bytes that may still be read: references multiply them.
    left: usize,
}

impl<'a> SchemaWalk<'a> {
    pub(super) fn new(root: &'a RawJson) -> Self {
        let left = 4 * MAX_BYTES;
        Self { root, left }
    }

    /// Counts a schema that is read.
    ///
    /// # Errors
    /// There is too much to read.
    pub(super) fn count(&mut self, schema: &RawJson, depth: usize) -> Result<(), String> {
        let left = self.left.checked_sub(schema.as_bytes().len() + 64);
        self.left = left
            .filter(|_| depth < MAX_DEPTH)
            .ok_or("it is too large")?;
        Ok(())
    }

    /// The schema with what its `$ref` refers to in place of it; the reference, if it has one.
    ///
    /// # Errors
    /// The reference leads out of the tool's schema.
    pub(super) fn resolved(&self, schema: &RawJson) -> Result<(RawJson, Option<String>), String> {
        let Some(reference) = schema.get("$ref") else {
            return Ok((schema.clone(), None));
        };
        let reference = reference.text().unwrap_or_default();
        let target = reference.strip_prefix('#').and_then(|at| self.pointer(at));
        let target = target.filter(RawJson::is_object).ok_or_else(|| {
            format!(
                "what is behind its `$ref` to {} is not known",
                label(&reference)
            )
        })?;
        let members = schema.members().unwrap_or_default();
        let beside = members.iter().filter(|(name, _)| name != "$ref");
        let is_annotation = |(name, _): &(String, _)| ANNOTATIONS.contains(&&**name);
        let merged = match beside.clone().all(is_annotation) {
            true => {
                let beside = beside.map(|(name, value)| (&**name, schema.part(value).into_bytes()));
                target.with_members(&beside.collect::<Vec<_>>(), &[])
            }
            false => {
                let all = schema.get("allOf").and_then(|all| elements(&all));
                let all = all.unwrap_or_default().into_iter().chain([target]);
                let all = task::array(all);
                schema.with_members(&[("allOf", all)], &["$ref"])
            }
        };
        Ok((merged, Some(reference)))
    }

    /// Whether an object can fit: no type of the schema, nor of each of its alternatives, rules it out.
    pub(super) fn takes_objects(&mut self, schema: &RawJson, depth: usize) -> Result<bool, String> {
        self.count(schema, depth)?;
        let (schema, _) = self.resolved(schema)?;
        if !schema.is_object() {
            return Ok(schema.as_str() == "true");
        }
        let types = schema.get("type");
        let is_object = |kind: &RawJson| kind.text().is_some_and(|kind| kind == "object");
        let fits = types.is_none_or(|kind| {
            is_object(&kind) || elements(&kind).is_some_and(|kinds| kinds.iter().any(is_object))
        });
        let mut fits = fits;
        for key in ALTERNATIVES {
            let Some(schemas) = schema.get(key).and_then(|schemas| elements(&schemas)) else {
                continue;
            };
            let mut some = key == "allOf";
            for schema in schemas {
                let one = self.takes_objects(&schema, depth + 1)?;
                some = if key == "allOf" {
                    some && one
                } else {
                    some || one
                };
            }
            fits &= some;
        }
        Ok(fits)
    }

    /// Where names lead out of what the schema lists: which of them it does not list, and those that
    /// it lists there. `None` where it lists them all, or where it may take any.
    pub(super) fn missing(&mut self, names: &[&str]) -> Option<(usize, BTreeSet<String>)> {
        let mut here = vec![self.root.clone()];
        for (at, name) in names.iter().enumerate() {
            let mut listed = Vec::new();
            for schema in here {
                self.properties(&schema, 0, &mut listed).ok()?;
            }
            let (mut known, mut next) = (BTreeSet::new(), Vec::new());
            for properties in listed {
                for (property, schema) in properties.members()? {
                    if property == *name {
                        next.push(properties.part(schema));
                    }
                    known.insert(property);
                }
            }
            if next.is_empty() {
                return (!known.is_empty()).then_some((at, known));
            }
            here = next;
        }
        None
    }

    /// Collects the `properties` of the schema and of all that are about the same value.
    fn properties(
        &mut self,
        schema: &RawJson,
        depth: usize,
        found: &mut Vec<RawJson>,
    ) -> Result<(), String> {
        self.count(schema, depth)?;
        let (schema, _) = self.resolved(schema)?;
        found.extend(schema.get("properties").filter(RawJson::is_object));
        let lists = ALTERNATIVES
            .into_iter()
            .filter_map(|key| elements(&schema.get(key)?));
        let single = BRANCHES.into_iter().filter_map(|key| schema.get(key));
        for schema in lists.flatten().chain(single) {
            self.properties(&schema, depth + 1, found)?;
        }
        for dependent in DEPENDENT.into_iter().filter_map(|key| schema.get(key)) {
            for (_, schema) in dependent.members().unwrap_or_default() {
                self.properties(&dependent.part(schema), depth + 1, found)?;
            }
        }
        Ok(())
    }

    /// What a JSON Pointer leads to in the tool's schema.
    fn pointer(&self, pointer: &str) -> Option<RawJson> {
        let mut steps = pointer.split('/');
        // Before the first slash is nothing.
        let start = steps.next()?.is_empty().then(|| self.root.clone());
        steps.try_fold(start?, |at, step| {
            let name = step.replace("~1", "/").replace("~0", "~");
            match at.is_object() {
                true => at.get(&name),
                false => elements(&at)?.into_iter().nth(name.parse().ok()?),
            }
        })
    }
}
