//! Requests to `glowplug-fetch` of any bytes. One that is read means the same when it is written again.
#![no_main]

use glowplug::fetch_request::FetchRequest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    match FetchRequest::read(data) {
        Ok(request) => {
            let written = request.write().unwrap();
            assert_eq!(FetchRequest::read(&written), Ok(request));
        }
        Err(error) => assert_eq!(error.reason().exit_code(), 2),
    }
});
