#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| bindu_testkit::fuzz::payment(data));
