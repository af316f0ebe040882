//! Hints that depend on the value or the text: how to mend what the reference's messages only name, and what the
//! reference accepts although its author probably meant something else.

mod arguments;
mod keys;
mod passwd;
mod syntax;
mod text;
mod values;

pub(super) use arguments::{for_argument, for_repeated_word};
pub(super) use keys::for_unused_key;
pub(super) use passwd::{for_group, for_password_hash, for_ssh_key};
pub(super) use syntax::for_syntax;
use values::octal;
pub(super) use values::{for_mode, for_path, for_target, for_type};
