//! Answers of any bytes that lead to each other. However they arrive, the same servers are asked, and credentials go to the first
//! of them alone.
#![no_main]

use glowplug_fetch::fuzz::redirects;
use glowplug_fetch::url::Url;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (sizes, data) = data.split_at(data.len().min(3));
    // No head may have this byte but in a value, and few bodies need it.
    let answers: Vec<&[u8]> = data.split(|byte| *byte == 0xff).collect();
    for first in ["http://a/b/c?d", "https://user:secret@[::1]:8/"] {
        let first = Url::parse(first).unwrap();
        let whole = redirects(&first, &answers, &[]);
        assert_eq!(whole, redirects(&first, &answers, sizes));
        assert!(whole.asked.len() <= 21);
        for (number, (url, method, headers)) in whole.asked.iter().enumerate() {
            assert_eq!((*method, *headers), ("GET", usize::from(number == 0)));
            assert!(url.scheme == "https" || (url.scheme == "http" && first.scheme == "http"), "{url:?}");
            assert!(url.target.starts_with('/') && url.target.bytes().all(|byte| byte.is_ascii_graphic()));
            assert!(url.host.bytes().all(|byte| byte.is_ascii_graphic()) && !url.host.is_empty());
            // Nothing is left to encode or to resolve.
            let again = Url::parse(&format!("{}{}", url.shown(), url.target)).unwrap();
            assert_eq!((&again.target, again.authority()), (&url.target, url.authority()));
        }
    }
});
