//! The connection to luod.

use std::os::fd::BorrowedFd;
use std::path::PathBuf;

use live_varlink::Client;
use luod_api::ApiError;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::cli::Cli;
use crate::failure::Failure;

/// luod, connected.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client,
}

impl Connection {
    pub(crate) fn open(cli: &Cli) -> Result<Self, Failure> {
        let socket: PathBuf = cli.socket.clone().unwrap_or_else(luod_api::socket_path);
        match Client::connect(&socket) {
            Ok(client) => Ok(Self { client }),
            Err(error) => Err(Failure::unreachable(&socket, &error)),
        }
    }

    /// One question, one answer.
    pub(crate) fn call<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
    ) -> Result<R, Failure> {
        let answer = self.client.call(method, parameters, &[]);
        answer
            .map(|(answer, _)| answer)
            .map_err(|error| ApiError::from(error).into())
    }

    /// One question, several answers, each given to `seen`.
    pub(crate) fn watch<R: DeserializeOwned>(
        &mut self,
        method: &str,
        parameters: &impl Serialize,
        fds: &[BorrowedFd<'_>],
        mut seen: impl FnMut(&R),
    ) -> Result<(), Failure> {
        let failure = |error| Failure::from(ApiError::from(error));
        self.client
            .call_more(method, parameters, fds)
            .map_err(failure)?;
        loop {
            let (answer, continues) = self.client.next_answer().map_err(failure)?;
            seen(&answer);
            if !continues {
                return Ok(());
            }
        }
    }
}
