//! Tests in booted guests, and in roots that are compared with what Debian's own tools make of them. All are one
//! program, so that two guests run at any time.

mod accounts;
mod agent;
mod boot;
mod cuts;
mod disks;
mod hostile;
mod image;
mod kernel_arguments;
mod network;
mod podman_machine;
mod secrets;
mod units;
