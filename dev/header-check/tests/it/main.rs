//! Checks that the check fails when it should.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail loudly")]

mod doctored;
