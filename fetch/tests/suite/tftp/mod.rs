//! TFTP: a real server, a network that loses packets, and servers that misbehave.

mod hostile;
mod real;
mod relay;
