//! What is seen in booted guests, and in roots compared with what Debian's own tools make of them. One program, so that
//! two guests run at any time.

mod accounts;
mod agent;
mod boot;
mod cuts;
mod hostile;
mod image;
mod podman_machine;
mod secrets;
mod units;
