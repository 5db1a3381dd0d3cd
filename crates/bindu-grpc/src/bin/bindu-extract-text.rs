//! Reads a document from the standard input and writes its text: the smallest program for
//! `bindu_grpc::documents::Program`.

use std::process::ExitCode;

fn main() -> ExitCode {
    match bindu_grpc::documents::extract(std::io::stdin(), std::io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}
