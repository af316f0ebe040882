//! TFTP: datagrams of any bytes, and a server that behaves over a network that loses, doubles and delays its packets.
#![no_main]

use std::collections::VecDeque;

use glowplug_fetch::fuzz::Client;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some((first, rest)) = data.split_first() else { return };
    if first & 1 == 0 { datagrams(first & 2 != 0, rest) } else { bad_network(rest) }
});

/// Takes datagrams, each after a byte with its length.
fn datagrams(options: bool, mut data: &[u8]) {
    let mut client = Client::new(options);
    let (mut sent, mut kept) = (0, 0);
    while let Some((length, rest)) = data.split_first() {
        let (datagram, rest) = rest.split_at(usize::from(*length).min(rest.len()));
        data = rest;
        sent += datagram.len();
        let before = client.acknowledgement();
        let Some(step) = client.take(datagram) else { return };
        kept += step.bytes.len();
        assert!(kept <= sent);
        assert!(client.size().is_none_or(|size| kept as u64 <= size));
        // A block moves the number by one; nothing else moves it.
        let moves = !step.bytes.is_empty() || step.is_end;
        let after = client.acknowledgement();
        assert!(!moves || after == Some(before.unwrap_or(0).wrapping_add(1)), "{before:?} {after:?}");
        if step.is_end {
            assert!(client.size().is_none_or(|size| kept as u64 == size));
            return;
        }
    }
}

/// Fetches a file over a network whose faults `data` decides. The file must arrive as it is.
fn bad_network(data: &[u8]) {
    let [block, window, length, faults @ ..] = data else { return };
    let (block, window) = (usize::from(block % 24) + 8, usize::from(window % 16) + 1);
    let file: Vec<u8> = (0..=255).cycle().take(usize::from(*length) * 4).collect();
    let blocks = file.len() / block + 1;
    let packet = |number: usize| {
        let start = (number - 1) * block;
        let number = u16::try_from(number).unwrap_or_default().to_be_bytes();
        [&[0, 3], &number[..], &file[start..file.len().min(start + block)]].concat()
    };
    let send_window = |acknowledged: Option<u16>, way: &mut VecDeque<Vec<u8>>| {
        let first = usize::from(acknowledged.unwrap_or(0)) + 1;
        way.extend((first..first + window).take_while(|number| *number <= blocks).map(packet));
    };
    let agreed = format!("\0\x06blksize\0{block}\0windowsize\0{window}\0tsize\0{}\0", file.len());

    let mut client = Client::new(true);
    let mut arrived = Vec::new();
    let mut way = VecDeque::from([agreed.clone().into_bytes()]);
    let mut faults = faults.iter();
    // The network recovers after the last fault, and each round of the timers then brings a window.
    for _ in 0..2 * blocks + 2 * faults.len() + 4 {
        while let Some(datagram) = way.pop_front() {
            match faults.next() {
                Some(fault) if fault % 4 == 0 => continue,
                Some(fault) if fault % 4 == 1 => way.push_back(datagram.clone()),
                Some(fault) if fault % 4 == 2 && !way.is_empty() => {
                    way.push_back(datagram);
                    continue;
                }
                _ => {}
            }
            let step = client.take(&datagram).expect("the server behaves");
            arrived.extend_from_slice(&step.bytes);
            if step.is_end {
                assert_eq!(arrived, file);
                return;
            }
            if step.acknowledge && faults.next().is_none_or(|fault| fault % 4 != 0) {
                send_window(client.acknowledgement(), &mut way);
            }
        }
        // Nothing is on its way: the timer of the client, or that of the server before it knows the client.
        match client.acknowledgement() {
            None => way.push_back(agreed.clone().into_bytes()),
            last => send_window(last, &mut way),
        }
    }
    panic!("{} of {} bytes arrived", arrived.len(), file.len());
}
