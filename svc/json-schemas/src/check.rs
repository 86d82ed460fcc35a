//! Comparing output with its schema, for tests.

use serde_json::{Map, Value};

use crate::find;

/// What does not fit.
#[derive(Debug)]
pub struct Mismatch(String);

impl std::fmt::Display for Mismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mismatch {}

/// Compares one value that `program` printed for the command `name` with its schema. A field that the schema does not
/// have is an error as well.
///
/// # Errors
/// [`Mismatch`] says where in the value, and why.
pub fn check(program: &str, name: &str, value: &Value) -> Result<(), Mismatch> {
    let mismatch = |why: String| Mismatch(format!("{program} {name} --json: {why}\n{value:#}"));
    let schema = find(program, name).ok_or_else(|| mismatch("there is no schema".to_owned()))?;
    let mut schema: Value =
        serde_json::from_str(schema.text).map_err(|error| mismatch(error.to_string()))?;
    close(&mut schema);
    let validator =
        jsonschema::validator_for(&schema).map_err(|error| mismatch(error.to_string()))?;
    let errors: Vec<String> = validator
        .iter_errors(value)
        .map(|error| format!("at {:?}: {error}", error.instance_path().as_str()))
        .collect();
    match errors.is_empty() {
        true => Ok(()),
        false => Err(mismatch(errors.join("\n"))),
    }
}

/// Compares everything that `program` printed when it was called with these arguments; the values.
///
/// # Errors
/// [`Mismatch`]: it is no JSON, or not as the schema of the command, or that of errors, says.
pub fn check_output(program: &str, arguments: &[&str], text: &str) -> Result<Vec<Value>, Mismatch> {
    let mut values = Vec::new();
    for value in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
        let value = value.map_err(|error| Mismatch(format!("{arguments:?}: {error}:\n{text}")))?;
        match value.get("error") {
            Some(_) => check(program, "error", &value)?,
            None => check(program, &command(program, arguments), &value)?,
        }
        values.push(value);
    }
    Ok(values)
}

/// The command among some arguments: a word, or two with a hyphen between, that has a schema.
fn command(program: &str, arguments: &[&str]) -> String {
    let pairs = arguments.windows(2).map(|pair| pair.join("-"));
    let words = arguments.iter().map(|word| (*word).to_owned());
    let mut named = pairs.chain(words);
    let known = named.find(|name| find(program, name).is_some());
    known.unwrap_or_else(|| arguments.join(" "))
}

/// Has every object with known fields refuse others.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            close_object(object);
            object.values_mut().for_each(close);
        }
        Value::Array(values) => values.iter_mut().for_each(close),
        _ => {}
    }
}

fn close_object(object: &mut Map<String, Value>) {
    let is_closed = object.contains_key("additionalProperties");
    if object.get("properties").is_some_and(Value::is_object) && !is_closed {
        object.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::ALL;

    #[test]
    fn a_field_too_many_too_few_and_of_another_type_do_not_fit() {
        let checked = |value: Value| check("luoctl", "update", &value);
        let right = json!({ "message": "loaded", "phase": "normal" });
        checked(right.clone()).unwrap();
        let with = |name: &str, field: Value| {
            let mut value = right.clone();
            value[name] = field;
            checked(value).unwrap_err().to_string()
        };
        assert!(with("more", json!(1)).contains("more"));
        assert!(with("phase", json!("paused")).contains("/phase"));
        assert!(with("message", json!(7)).contains("/message"));
        let few = checked(json!({ "message": "loaded" })).unwrap_err();
        assert!(few.to_string().contains("phase"), "{few}");
        assert!(check("luoctl", "nothing", &right).is_err());
    }

    #[test]
    fn output_is_compared_with_the_schema_of_its_command_or_of_errors() {
        let lines =
            "{\"message\":\"m\",\"phase\":\"normal\"}\n{\"message\":\"n\",\"phase\":\"normal\"}\n";
        let values = check_output("luoctl", &["--json", "update", "--go-on"], lines);
        assert_eq!(values.unwrap().len(), 2);
        let error = "{\"error\":{\"kind\":\"K\",\"message\":\"m\",\"hint\":\"\",\"exit_code\":3}}";
        check_output("luoctl", &["status"], error).unwrap();
        check_output("luoctl", &["status"], "{}").unwrap_err();
        check_output("luoctl", &["status"], "{").unwrap_err();
        check_output("luoctl", &["fs", "tune", "x"], "{\"changed\":[]}").unwrap();
        check_output("luoctl", &["unheard-of"], "{}").unwrap_err();
    }

    #[test]
    fn every_schema_is_one() {
        for schema in ALL {
            let value: Value = serde_json::from_str(schema.text).unwrap();
            jsonschema::meta::validate(&value)
                .unwrap_or_else(|error| panic!("{schema:?}: {error}"));
            jsonschema::validator_for(&value).unwrap();
        }
    }
}
