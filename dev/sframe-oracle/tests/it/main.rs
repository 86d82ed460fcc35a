//! Unwinding at every instruction of recorded programs finds what the shadow stack has, or says it is not sure.

mod damage;
mod kernel;
mod replay;
mod user;
