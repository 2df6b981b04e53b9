#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let _ = (ddpm_fuzz::target("checkpoint-stream").expect("a reader of this name").read)(data);
});
