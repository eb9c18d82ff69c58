//! The page: plain HTML with a form, no script.

use crate::message::Message;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:40rem;margin:2rem auto;padding:0 1rem;color:#222}\
    form{display:grid;gap:.5rem;margin-bottom:2rem}input,textarea,button{font:inherit;padding:.5rem;border:1px solid #bbb;\
    border-radius:.3rem}button{background:#1b5e8a;color:#fff;border:0;cursor:pointer}article{border-top:1px solid #ddd;\
    padding:.5rem 0}article p{margin:.2rem 0;white-space:pre-wrap;overflow-wrap:anywhere}time{color:#777;font-size:.85em}";

/// The form and the messages, newest first.
pub(crate) fn book(messages: &[Message]) -> String {
    let articles: String = messages.iter().rev().map(article).collect();
    let articles = if articles.is_empty() { "<p>Nobody has written yet.</p>".to_owned() } else { articles };
    frame(&format!(
        "<form method=\"post\" action=\"/\">\
         <input name=\"author\" placeholder=\"Your name\" aria-label=\"Your name\" maxlength=\"100\">\
         <textarea name=\"text\" placeholder=\"Your message\" aria-label=\"Your message\" rows=\"3\" maxlength=\"2000\" required></textarea>\
         <button>Sign the guestbook</button></form><main>{articles}</main>"
    ))
}

/// Something went wrong.
pub(crate) fn trouble(message: &str) -> String {
    frame(&format!("<p role=\"alert\">{}</p><p><a href=\"/\">Back to the guestbook</a></p>", escape(message)))
}

fn frame(content: &str) -> String {
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>Guestbook</title>\
         <meta name=\"viewport\" content=\"width=device-width\"><style>{STYLE}</style></head>\
         <body><h1>Guestbook</h1>{content}</body></html>\n"
    )
}

fn article(message: &Message) -> String {
    let (author, text, time) = (escape(&message.author), escape(&message.text), time(message.at));
    format!("<article id=\"m{}\"><b>{author}</b> <time>{time}</time><p>{text}</p></article>\n", message.number)
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            _ => escaped.push(c),
        }
    }
    escaped
}

/// `2026-01-31 12:00 UTC`, by the civil calendar.
fn time(seconds: u64) -> String {
    let (mut days, minutes) = (seconds / 86_400, seconds / 60 % 1440);
    let mut year = 1970;
    let is_leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    while days >= 365 + u64::from(is_leap(year)) {
        days -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let february = 28 + u64::from(is_leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    format!("{year}-{month:02}-{:02} {:02}:{:02} UTC", days + 1, minutes / 60, minutes % 60)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Draft;

    #[test]
    fn what_people_write_stays_text() {
        let draft = Draft { author: "<b>\"x\" & 'y'".into(), text: "<script>alert(1)</script>".into() };
        let page = book(&[draft.numbered(7)]);
        assert!(page.contains("&lt;b&gt;&quot;x&quot; &amp; &#39;y&#39;"), "{page}");
        assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"), "{page}");
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("id=\"m7\""));
    }

    #[test]
    fn times() {
        for (seconds, expected) in [
            (0, "1970-01-01 00:00 UTC"),
            (951_782_400, "2000-02-29 00:00 UTC"),
            (1_767_225_599, "2025-12-31 23:59 UTC"),
            (1_795_265_100, "2026-11-21 12:45 UTC"),
        ] {
            assert_eq!(time(seconds), expected);
        }
    }
}
