//! The two kinds of messages.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A method call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Request {
    /// Interface and method, `org.example.Interface.Method`.
    pub method: String,
    /// Arguments by name.
    #[serde(default)]
    pub parameters: Value,
    /// The caller wants no answer.
    #[serde(default, skip_serializing_if = "is_false")]
    pub oneway: bool,
    /// The caller takes several answers.
    #[serde(default, skip_serializing_if = "is_false")]
    pub more: bool,
}

/// An answer.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Response {
    /// Results by name.
    #[serde(default)]
    pub parameters: Value,
    /// Another answer follows.
    #[serde(default, skip_serializing_if = "is_false")]
    pub continues: bool,
    /// Name of an error; its parameters are in `parameters`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "the signature serde asks for"
)]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

impl Response {
    /// One answer, with more to come.
    pub(crate) const fn one_of_many(parameters: Value) -> Self {
        Self {
            parameters,
            continues: true,
            error: None,
        }
    }
}

impl Request {
    /// Interface and method apart; a method without an interface has an empty one.
    pub fn split(&self) -> (&str, &str) {
        self.method.rsplit_once('.').unwrap_or(("", &self.method))
    }
}
