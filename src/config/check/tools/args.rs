//! Checks which values the arguments of tools may have.
//!
//! Owns the reading of `tools.args`: the path of an argument, and which values of TOML are values of JSON.

use std::sync::Arc;

use serde_json::{Map, Number, Value};

use crate::config::ArgRule;
use crate::config::ToolRule;
use crate::config::check::Checker;
use crate::config::read::file::{ArgValue, Entries, Located};
use crate::config::read::{item_path, join};
use crate::text::Glob;

impl Checker<'_> {
    /// `tools.args`. The globs are added to `rules` too.
    pub(super) fn args(
        &mut self,
        written: &Entries<Entries<Vec<Located<ArgValue>>>>,
        path: &str,
        rules: &mut Vec<ToolRule>,
    ) -> Vec<(Glob, Arc<[ArgRule]>)> {
        let by_glob = self.by_glob(written, "tools.args", path, rules);
        let path = join(path, "args");
        let mut checked = Vec::new();
        for (glob, args) in by_glob {
            let path = join(&path, glob.written());
            let mut of_tool: Vec<ArgRule> = Vec::new();
            for (name, values) in &args.value.0 {
                let path = join(&path, &name.value);
                let values = values.value.iter().enumerate();
                let values: Vec<Value> = values
                    .filter_map(|(at, value)| self.value(value, &item_path(&path, at, None)))
                    .collect();
                let rule = ArgRule::of_key(&name.value, values).map_err(str::to_owned);
                let added = rule.and_then(|rule| {
                    rule.add(&mut of_tool).map_err(|other| {
                        format!("is guarded by {other:?} too, or is within it or around it, or differs from it only in case; keep one of them")
                    })
                });
                if let Err(what) = added {
                    self.report.add(&name.location, &path, what);
                }
            }
            checked.push((glob, of_tool.into()));
        }
        checked
    }

    /// The value as JSON.
    fn value(&mut self, written: &Located<ArgValue>, path: &str) -> Option<Value> {
        let value = as_json(&written.value.0);
        if let Err(what) = &value {
            self.report.add(&written.location, path, *what);
        }
        value.ok()
    }
}

fn as_json(value: &toml::Value) -> Result<Value, &'static str> {
    Ok(match value {
        toml::Value::String(text) => Value::String(text.clone()),
        toml::Value::Integer(number) => Value::Number((*number).into()),
        toml::Value::Boolean(flag) => Value::Bool(*flag),
        toml::Value::Float(number) => {
            let number = Number::from_f64(*number);
            Value::Number(number.ok_or("JSON has no such number")?)
        }
        toml::Value::Datetime(_) => {
            return Err("JSON has no dates; write it in quotes, as the tool takes it");
        }
        toml::Value::Array(values) => {
            Value::Array(values.iter().map(as_json).collect::<Result<_, _>>()?)
        }
        toml::Value::Table(members) => {
            let members = members.iter();
            let members = members.map(|(name, value)| Ok((name.clone(), as_json(value)?)));
            Value::Object(members.collect::<Result<Map<_, _>, &'static str>>()?)
        }
    })
}
