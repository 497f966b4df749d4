//! End-to-end tests in one process: a client, the gateway, and fake backends that fail on command.
//!
//! A test named `fault_NN_…` covers row NN of the fault table. In every test the protocol checker
//! also checks each line of the gateway, and that no request stays without a response.

mod administrator;
mod audit;
mod breaker;
mod denied_tools;
mod evidence;
mod guarded_args;
mod input_required;
mod large_results;
mod lifecycle;
mod limits;
mod listing;
mod load;
mod log;
mod log_file;
mod malformed_input;
mod metrics;
mod parked;
mod reload;
mod replaced;
mod replicas;
mod responses;
mod retry;
mod server_requests;
#[cfg(unix)]
mod status;
mod status_tool;
mod switches;
mod telemetry;
mod unsolicited;
