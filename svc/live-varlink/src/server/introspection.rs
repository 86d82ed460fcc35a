//! `org.varlink.service`: what a server says of itself.

use serde_json::{Value, json};

use super::{Replies, ServerInfo};
use crate::error::WireError;

/// Name of the interface.
pub(super) const NAME: &str = "org.varlink.service";
const DESCRIPTION: &str = include_str!("../org.varlink.service.varlink");

/// Answers one of its methods.
pub(super) fn answer(
    info: &ServerInfo,
    method: &str,
    parameters: &Value,
    replies: &mut Replies<'_>,
) -> Result<(), WireError> {
    match method {
        "GetInfo" => {
            let mut interfaces = vec![NAME];
            interfaces.extend(info.interfaces.iter().map(|interface| interface.name));
            let ServerInfo {
                vendor,
                product,
                version,
                url,
                ..
            } = info;
            let answer = json!({
                "vendor": vendor, "product": product, "version": version, "url": url,
                "interfaces": interfaces,
            });
            replies.done(&answer, &[])
        }
        "GetInterfaceDescription" => {
            let wanted = parameters
                .get("interface")
                .and_then(Value::as_str)
                .unwrap_or_default();
            let known = info
                .interfaces
                .iter()
                .find(|interface| interface.name == wanted);
            let description = match known {
                Some(interface) => interface.description,
                None if wanted == NAME => DESCRIPTION,
                None => {
                    let name = "org.varlink.service.InterfaceNotFound";
                    return replies.error(name, &json!({ "interface": wanted }));
                }
            };
            replies.done(&json!({ "description": description }), &[])
        }
        _ => {
            let name = "org.varlink.service.MethodNotFound";
            replies.error(name, &json!({ "method": method }))
        }
    }
}
