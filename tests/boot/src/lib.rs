//! The boot lab: a Debian guest under QEMU, and a host that behaves as
//! `podman machine` does.
//!
//! `prepare`, beside this crate, makes the guest (kernel, initramfs, root) with
//! the package under test installed. [`lab::Lab`] finds those files,
//! [`guest::Guest`] boots them, [`host::Config`] serves a config as podman's
//! applehv and libkrun providers do, and [`ready::Ready`] waits for `Ready` as
//! podman waits. [`image`] reads the guest's disk after its shutdown and
//! [`tree`] says which paths of a directory tree a program has changed.
//!
//! Every wait has a deadline, and every process ends with the value that
//! started it.

pub mod agent;
pub mod console;
pub mod curves;
pub mod error;
pub mod firmware;
pub mod flushes;
pub mod guest;
pub mod gvproxy;
pub mod host;
pub mod hostile;
pub mod image;
pub mod key;
pub mod lab;
pub mod measure;
pub mod network;
pub mod process;
pub mod ready;
pub mod shell;
pub mod tang;
pub mod tree;
pub mod writes;
