//! Typed access to the members of a JSON object; a member of the wrong type is named by its path.

use hyperfleet_api_types::problem::{Fault, codes};
use serde_json::{Map, Value};

/// The members of one object in a body, and where that object stands.
pub(super) struct Members<'a> {
    path: String,
    members: &'a Map<String, Value>,
}

impl<'a> Members<'a> {
    /// The members of the body itself.
    pub(super) fn of(members: &'a Map<String, Value>) -> Self {
        Self {
            path: String::new(),
            members,
        }
    }

    /// The members of the object that is member `name` of this one.
    pub(super) fn inside(&self, name: &str, members: &'a Map<String, Value>) -> Self {
        Self {
            path: self.path_of(name),
            members,
        }
    }

    /// A string; `None` when absent or null.
    pub(super) fn text(&self, name: &str) -> Result<Option<String>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(_) => Err(self.wrong_type(name, "a string")),
        }
    }

    /// An integer of 32 bits; `None` when absent or null.
    pub(super) fn integer(&self, name: &str) -> Result<Option<i32>, Fault> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let integer = value.as_i64().and_then(|value| i32::try_from(value).ok());
        integer
            .map(Some)
            .ok_or_else(|| self.wrong_type(name, "a number"))
    }

    /// An object; `None` when absent or null.
    pub(super) fn object(&self, name: &str) -> Result<Option<&'a Map<String, Value>>, Fault> {
        match self.get(name) {
            None => Ok(None),
            Some(Value::Object(members)) => Ok(Some(members)),
            Some(_) => Err(self.wrong_type(name, "an object")),
        }
    }

    /// A list of objects; `None` when absent or null.
    pub(super) fn objects(&self, name: &str) -> Result<Option<Vec<Members<'a>>>, Fault> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let Value::Array(items) = value else {
            return Err(self.wrong_type(name, "an array"));
        };
        let mut objects = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let item_name = format!("{name}[{index}]");
            let Value::Object(members) = item else {
                return Err(self.wrong_type(&item_name, "an object"));
            };
            objects.push(self.inside(&item_name, members));
        }
        Ok(Some(objects))
    }

    fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.path)
        }
    }

    fn wrong_type(&self, name: &str, expected: &str) -> Fault {
        let path = self.path_of(name);
        Fault::new(
            codes::VALIDATION,
            format!("field '{path}' must be {expected}"),
        )
    }
}
