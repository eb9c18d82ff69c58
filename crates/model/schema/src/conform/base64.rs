//! Standard base64 as Go reads it: line ends are skipped, padding is required, errors name the byte.

/// Checks `text`; the error is the offset that Go's decoder reports. Text that decodes but is not as Go would write
/// it (line ends inside, stray bits in the last character) is rewritten.
pub(super) fn conform(text: &mut String) -> Result<(), usize> {
    let bytes = text.as_bytes();
    if let Some(skipped) = check(bytes)? {
        let mut clean: Vec<u8> = bytes.iter().copied().filter(|byte| !is_line_end(*byte)).collect();
        debug_assert_eq!(bytes.len() - clean.len(), skipped);
        clear_stray_bits(&mut clean);
        *text = clean.into_iter().map(char::from).collect();
    }
    Ok(())
}

/// `None` if the text is as Go would write it, else the number of line ends to leave out.
fn check(bytes: &[u8]) -> Result<Option<usize>, usize> {
    let (mut group, mut skipped, mut at) = (0_u8, 0, 0);
    let mut last = 0;
    while let Some(&byte) = bytes.get(at) {
        match sextet(byte) {
            Some(value) => (group, last) = ((group + 1) % 4, value),
            None if is_line_end(byte) => skipped += 1,
            None if byte == b'=' => return padding(bytes, at, group, last, skipped),
            None => return Err(at),
        }
        at += 1;
    }
    // Go points at the start of the unfinished group.
    if group == 0 { Ok((skipped > 0).then_some(skipped)) } else { Err(bytes.len().saturating_sub(usize::from(group))) }
}

/// The rest of the text from the first `=` on.
fn padding(bytes: &[u8], first: usize, group: u8, last: u8, mut skipped: usize) -> Result<Option<usize>, usize> {
    let mut missing: usize = match group {
        0 | 1 => return Err(first),
        2 => 1,
        _ => 0,
    };
    for (at, byte) in bytes.iter().enumerate().skip(first + 1) {
        match byte {
            byte if is_line_end(*byte) => skipped += 1,
            b'=' if missing > 0 => missing -= 1,
            // Go points one byte back when the second `=` is missing, at the garbage itself after the last.
            _ => return Err(at - missing),
        }
    }
    if missing > 0 {
        return Err(bytes.len());
    }
    let stray = if group == 2 { last & 0x0f } else { last & 0x03 };
    Ok((skipped > 0 || stray != 0).then_some(skipped))
}

fn clear_stray_bits(clean: &mut [u8]) {
    let padding = clean.iter().rev().take_while(|byte| **byte == b'=').count();
    let mask = match padding {
        1 => 0x3c,
        2 => 0x30,
        _ => return,
    };
    let Some(last) = clean.iter_mut().rev().nth(padding) else { return };
    if let Some(value) = sextet(*last) {
        *last = ALPHABET.get(usize::from(value & mask)).copied().unwrap_or(*last);
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn sextet(byte: u8) -> Option<u8> {
    Some(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    })
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}
