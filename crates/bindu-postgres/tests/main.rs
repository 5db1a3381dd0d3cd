//! The suites of the seams on a real server, and what only this backend promises.

mod databases;
mod payments;
mod server;
mod sharing;
mod suites;
