#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| apm_fuzz::session("uwsgi", input));
