//! Documents that S3 sends instead of an object, and URLs of objects. Only a code may come out of a document, and a URL may lead
//! to no other host than AWS's.
#![no_main]

use glowplug_fetch::fuzz::{error_code, object_url};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(code) = error_code(data) {
        assert!(
            (1..64).contains(&code.len()) && code.bytes().all(|byte| byte.is_ascii_alphanumeric()),
            "{code}"
        );
        assert!(data.windows(code.len()).any(|window| window == code.as_bytes()));
    }
    let Some((bucket, object)) = std::str::from_utf8(data).ok().and_then(object_url) else { return };
    for url in bucket.iter().chain([&object]) {
        assert!(url.bytes().all(|byte| byte.is_ascii_graphic()), "{url}");
        let rest = url.strip_prefix("https://").expect("S3 is asked over https");
        let host = rest.split(['/', '?', '#', '@', ':']).next().unwrap_or_default();
        assert!(host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"), "{url}");
        assert!(!rest.contains(['@', '#']), "{url}");
    }
});
