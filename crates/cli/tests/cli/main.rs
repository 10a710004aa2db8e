//! The command as a user meets it: statuses, messages, rows, files.

mod demo;
mod explore;
mod models;
mod programs;
mod resonance;
mod run;
mod sanitize;
mod support;
mod usage;
