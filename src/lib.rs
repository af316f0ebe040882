//! glowplug provisions a Debian machine from an Ignition config, once, in the initramfs.
//!
//! [`provision::run`] is the whole of that. Five types carry its work, in this order:
//!
//! 1. [`platform::Platform`] is where the machine runs. It fetches the config, as bytes, from the host.
//! 2. [`config::Config`] is the config after parsing and validation. It has the fields of every spec version.
//! 3. [`source::Source`] is a URL in the config. It becomes a stream of bytes, which is opened once and is verified.
//! 4. [`change::Op`] is one change of the root: it says what shall stand there. [`plan::plan`] makes an ordered list of
//!    them from a config and a read-only [`change::View`] of the root. Nothing has been written until then.
//! 5. [`root::Root`] is the root that is provisioned. It carries out the list so that the root is whole after a power
//!    cut at any moment. No other module writes below the root.
//!
//! Every failure is an [`error::Error`]. Its [`error::Reason`] decides the exit code.
//!
//! Four more programs are made of this library: [`ready`] tells the host that the machine has started, [`agent`] answers the
//! host's questions, [`network`] brings the network of the initramfs up, and [`vsock_net`] carries the network of a podman
//! machine on Hyper-V. [`ignition`] stands in for the reference's programs. `docs/architecture.md` says which module may use
//! which.

// Tests make and break files where they like; the program itself is checked without them.
#![cfg_attr(test, allow(clippy::disallowed_methods, clippy::arithmetic_side_effects))]

pub mod agent;
pub mod change;
mod child;
pub mod clock;
pub mod config;
pub mod console;
mod crc32;
pub mod deadline;
pub mod disks;
pub mod error;
pub mod fd;
pub mod fetch_request;
pub mod fetcher;
pub mod file;
#[cfg(fuzzing)]
pub mod fuzz;
mod go;
pub mod http;
pub mod ignition;
mod initramfs;
pub mod json;
pub mod kernel_args;
pub mod kmsg_logger;
mod map;
mod memory;
mod names;
pub mod network;
pub mod plan;
pub mod platform;
pub mod privileges;
pub mod provision;
pub mod ready;
pub mod root;
pub mod sort;
pub mod source;
pub mod stamp;
pub mod sys;
#[cfg(test)]
mod testing;
mod unit_name;
pub mod vsock_net;
mod words;
