//! Hosts that do not behave, failures that are to be read, and signals to a host that hardly listens.

mod cases;
mod failures;
mod hosts;
mod ready;
