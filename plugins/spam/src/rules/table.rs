//! The rules: name, score, what it looks for. Scores were set on the corpus of the README; a rule that ham breaks now and
//! then is worth little, however much spam it finds. Mail is tagged from 5 on by default.

use super::{
    contains,
    evidence::{Evidence, domain},
    phrases::Topic,
    urls::registered,
};
use memchr::memmem;

/// One rule.
pub(crate) struct Rule {
    /// As it stands in the message's header fields and in `scores` of the configuration.
    pub(crate) name: &'static str,
    pub(crate) score: f64,
    /// For administrators; the README has the table.
    #[cfg_attr(not(test), allow(dead_code, reason = "documentation, which a test compares with the README"))]
    pub(crate) description: &'static str,
}

/// Makes the table, and what looks which of its rules hold: one function and not one per rule, because a fresh sandbox has to
/// look up each function that is called through a pointer.
macro_rules! rules {
    [$(($name:literal, $score:expr, $description:literal, |$evidence:ident| $holds:expr),)*] => {
        pub(crate) const RULES: &[Rule] = &[
            $(Rule { name: $name, score: $score, description: $description },)*
        ];

        /// Whether each of [`RULES`] holds.
        pub(crate) fn hold(evidence: &Evidence<'_>) -> [bool; RULES.len()] {
            [$((|$evidence: &Evidence<'_>| $holds)(evidence),)*]
        }
    };
}

rules![
    ("GTUBE", 1000.0, "the test string for spam filters", |e| e.gtube),
    // Header fields that are missing or odd.
    ("MISSING_DATE", 1.5, "no Date field", |e| !e.has("Date")),
    ("MISSING_MESSAGE_ID", 1.0, "no Message-ID field", |e| !e.has("Message-ID")),
    ("MISSING_FROM", 2.5, "no From field, or no address in it", |e| e.author_address.is_empty()),
    ("MISSING_TO", 0.5, "neither To nor Cc", |e| !e.has("To") && !e.has("Cc")),
    ("MISSING_SUBJECT", 0.8, "no Subject, or an empty one", |e| e.subject.trim().is_empty()),
    ("DUPLICATE_FIELDS", 1.5, "From, Subject, Date, To or Message-ID more than once", |e| {
        ["From", "Subject", "Date", "To", "Message-ID"].iter().any(|name| e.count(name) > 1)
    }),
    ("UNDISCLOSED_TO", 1.0, "To names undisclosed recipients", |e| {
        let to = e.header("To").to_lowercase();
        to.contains("undisclosed") || to.contains("recipients:")
    }),
    ("MESSAGE_ID_ODD", 2.0, "Message-ID without @ or brackets", |e| {
        let id = e.header("Message-ID");
        !id.is_empty() && (!id.starts_with('<') || !id.ends_with('>') || !id.contains('@'))
    }),
    ("DATE_ODD", 1.1, "Date without a time of day", |e| {
        let date = e.header("Date");
        !date.is_empty() && date.matches(':').count() < 1
    }),
    ("BULK_PRIORITY", 1.2, "marked as urgent", |e| {
        e.header("X-Priority").starts_with(['1', '2']) || e.header("Importance").eq_ignore_ascii_case("high")
    }),
    ("MAILER_BULK", 1.2, "a mail program that is used for mass mail", |e| {
        let mailer = format!("{} {}", e.header("X-Mailer"), e.header("User-Agent")).to_lowercase();
        ["phpmailer", "leaf php", "bulk", "mass", "the bat! (v1", "emailer", "foxmail", "supermail", "php/"]
            .iter()
            .any(|name| mailer.contains(name))
    }),
    ("SENT_BY_SCRIPT", 0.5, "sent by a script of a web site", |e| {
        e.has("X-PHP-Script") || e.has("X-PHP-Originating-Script") || e.has("X-AntiAbuse")
    }),
    // Who says to be the sender.
    ("FROM_NAME_IS_OTHER_ADDRESS", 1.9, "the display name is an address of another domain", |e| {
        let name = e.author_name.to_lowercase();
        let inside = name.split_whitespace().find(|word| word.contains('@') && word.contains('.'));
        inside.is_some_and(|word| {
            let named = domain(word.trim_matches(|c: char| !c.is_ascii_alphanumeric())).to_owned();
            !named.is_empty() && registered(&named) != registered(e.author_domain())
        })
    }),
    ("REPLY_TO_OTHER_DOMAIN", 0.5, "answers go to another domain than the sender's", |e| {
        let from = e.author_domain();
        let reply = e.reply_to.first().map(|reply| domain(&reply.address).to_lowercase()).unwrap_or_default();
        !from.is_empty() && !reply.is_empty() && registered(from) != registered(&reply) && !e.has("List-Id")
    }),
    ("REPLY_TO_FREE_MAIL", 2.8, "sent from elsewhere, answers go to a free mail box", |e| {
        let reply = e.reply_to.first().map(|reply| domain(&reply.address).to_lowercase()).unwrap_or_default();
        is_free_mail(&reply) && !is_free_mail(e.author_domain()) && !e.has("List-Id")
    }),
    ("FROM_DIGITS", 0.3, "the sender's address has five digits in a row", |e| {
        let local = &e.author_address;
        let local = local.split('@').next().unwrap_or_default();
        longest_run(local, |c| c.is_ascii_digit()) >= 5
    }),
    ("FROM_LOOK_ALIKE", 2.1, "the sender's name or domain mixes scripts or is a look-alike in punycode", |e| {
        e.author_domain().contains("xn--") || mixes_scripts(&e.author_name)
    }),
    ("FROM_BRAND", 3.0, "the display name is a well-known firm's, the address is not", |e| {
        let name = e.author_name.to_lowercase();
        let domain = e.author_domain();
        BRANDS.iter().any(|brand| has_word(&name, brand) && !domain.contains(brand.split(' ').next().unwrap_or(brand)))
    }),
    ("FROM_IS_TO", 1.2, "sender and recipient are the same", |e| {
        let from = &e.author_address;
        !from.is_empty() && e.to.first().is_some_and(|to| to.address.eq_ignore_ascii_case(from)) && !e.authenticated
    }),
    ("FROM_HAS_NO_DOT", 2.5, "the sender's domain is none", |e| {
        let from = e.author_domain();
        !from.is_empty() && !from.contains('.')
    }),
    ("FROM_TLD", 2.5, "the sender's domain is one of those that are cheap to burn", |e| {
        cheap_domain(e.author_domain())
    }),
    // The client.
    ("HELO_LOCALHOST", 1.5, "an unknown client calls itself localhost or by an address", |e| {
        let remote = !e.client_address.is_empty() && !e.client_address.starts_with("127.") && e.client_address != "::1";
        remote
            && !e.authenticated
            && (e.helo == "localhost"
                || e.helo == "localhost.localdomain"
                || e.helo.parse::<std::net::IpAddr>().is_ok())
    }),
    ("CLIENT_DYNAMIC", 1.5, "the client's name is one of a dial-up or home line", |e| {
        !e.authenticated && looks_dynamic(&e.client_name)
    }),
    ("SENDER_OTHER_DOMAIN", 0.5, "envelope sender and From are of different domains", |e| {
        let from = e.author_domain();
        !e.sender_domain.is_empty()
            && !from.is_empty()
            && registered(from) != registered(&e.sender_domain)
            && !e.has("List-Id")
    }),
    // The subject.
    ("SUBJECT_CAPITALS", 0.7, "the subject is in capitals", |e| {
        let letters: Vec<char> = e.subject.chars().filter(char::is_ascii_alphabetic).collect();
        letters.len() >= 10 && letters.iter().all(char::is_ascii_uppercase)
    }),
    ("SUBJECT_EXCLAIMS", 1.8, "the subject has two exclamation marks or more", |e| {
        e.subject.matches('!').count() >= 2
    }),
    ("SUBJECT_MONEY", 2.0, "the subject has a sum of money", |e| {
        let subject = &e.subject;
        ["$", "€", "£", "US$"].iter().any(|sign| {
            subject.split(sign).skip(1).any(|rest| rest.trim_start().starts_with(|c: char| c.is_ascii_digit()))
        })
    }),
    ("SUBJECT_GAPPY", 2.7, "the subject has letters set apart, or a serial number after a gap", |e| {
        e.subject.contains("      ") || has_gappy_word(&e.subject)
    }),
    ("SUBJECT_FAKE_REPLY", 0.3, "the subject says to be an answer, nothing else does", |e| {
        let subject = e.subject.to_lowercase();
        subject.starts_with("re:") && !e.has("In-Reply-To") && !e.has("References")
    }),
    ("SUBJECT_ADV", 2.8, "the subject says that it is advertising", |e| {
        let subject = e.subject.to_lowercase();
        subject.starts_with("adv:") || subject.starts_with("[adv]") || subject.starts_with("adv ")
    }),
    ("SUBJECT_EMOJI", 1.5, "the subject has a pictograph", |e| {
        e.subject.chars().any(|c| matches!(c, '\u{1f300}'..='\u{1faff}' | '\u{2600}'..='\u{27bf}' | '\u{2b50}'))
    }),
    ("SUBJECT_LOOK_ALIKE", 2.2, "a word of the subject mixes scripts", |e| mixes_scripts(&e.subject)),
    // How the content is made.
    ("HTML_ONLY", 1.3, "HTML without a plain text", |e| e.has_html && !e.has_plain),
    ("HTML_SHORT_WITH_IMAGE", 2.5, "HTML with pictures and hardly a word", |e| {
        e.has_html && e.text.len() < 200 && (contains(&e.html, "<img") || e.images > 0) && !e.urls.is_empty()
    }),
    ("HTML_HIDDEN_TEXT", 1.6, "HTML with text that nobody sees", |e| {
        followed(&e.html, "font-size:", &["0", " 0", "1px"])
            || followed(&e.html, "display:", &["none", " none"])
            || contains(&e.html, "opacity:0;")
    }),
    ("HTML_FORM", 0.5, "HTML with a form to fill in", |e| {
        contains(&e.html, "<form") && contains(&e.html, "<input")
    }),
    ("HTML_SCRIPT", 0.5, "HTML with a script", |e| contains(&e.html, "<script")),
    ("HTML_RED_FONT", 1.5, "HTML in red or huge letters", |e| {
        followed(&e.html, "color=", &["\"#ff0000\"", "#ff0000", "red", "\"red\""])
            || followed(&e.html, "size=", &["\"+3\"", "7", "\"7\""])
    }),
    ("HTML_LINK_MISMATCH", 1.3, "a link shows one address and leads to another", |e| link_mismatch(&e.html)),
    ("TEXT_IN_BASE64", 1.8, "plain US-ASCII text hidden in base64", |e| e.text_in_base64),
    ("CAPITALS", 2.0, "a third of the text is in capitals", |e| e.capitals > 0.33),
    ("EXCLAIMS", 1.5, "the text has three exclamation marks in a row", |e| contains(&e.text, "!!!")),
    ("DOLLARS", 0.6, "the text has large sums of money", |e| {
        let sums = behind_money(&e.text).filter(|rest| {
            let number: String =
                rest.trim_start().chars().take_while(|c| c.is_ascii_digit() || matches!(c, ',' | '.')).collect();
            number.matches(',').count() >= 1 || number.chars().filter(char::is_ascii_digit).count() >= 5
        });
        sums.take(2).count() == 2 || contains(&e.text, ",000,000")
    }),
    ("NO_TEXT", 1.4, "nothing to read", |e| e.text.trim().is_empty()),
    ("CHARSET_FAR_EAST", 1.2, "a charset of the far East or Cyrillic, older than Unicode", |e| {
        let old = ["big5", "gb2312", "gbk", "gb18030", "ks_c_5601", "euc-kr", "windows-1251", "koi8"];
        e.charsets.iter().any(|charset| old.iter().any(|known| charset.starts_with(known)))
    }),
    // Where links lead.
    ("URL_NUMERIC", 3.0, "a link to an address without a name", |e| {
        e.urls.iter().any(|url| url.is_numeric() && !is_private(&url.host))
    }),
    ("URL_USER", 2.0, "a link with something before an @ to mislead", |e| {
        e.urls.iter().any(|url| url.user && url.host.contains('.'))
    }),
    ("URL_LOOK_ALIKE", 1.5, "a link to a domain in punycode", |e| {
        e.urls.iter().any(|url| url.host.contains("xn--"))
    }),
    ("URL_SHORTENER", 0.6, "a link through a shortener", |e| {
        let known = [
            "bit.ly",
            "tinyurl.com",
            "goo.gl",
            "t.co",
            "ow.ly",
            "is.gd",
            "cutt.ly",
            "rebrand.ly",
            "rb.gy",
            "shorturl.at",
            "t.ly",
            "urlz.fr",
            "lnkd.in",
        ];
        e.urls.iter().any(|url| known.contains(&url.host.as_str()))
    }),
    ("URL_FREE_HOST", 1.4, "a link to a place where anybody can put pages", |e| {
        let known = [
            ".blogspot.com",
            ".weebly.com",
            ".web.app",
            ".firebaseapp.com",
            ".pages.dev",
            ".workers.dev",
            ".r2.dev",
            "storage.googleapis.com",
            ".wixsite.com",
            ".000webhostapp.com",
            ".github.io",
            ".netlify.app",
            ".vercel.app",
            ".s3.amazonaws.com",
            "ipfs.io",
            ".blob.core.windows.net",
            ".geocities.com",
            "sites.google.com",
            "forms.gle",
            ".tripod.com",
            ".angelfire.com",
        ];
        e.urls.iter().any(|url| known.iter().any(|end| url.host.ends_with(end)))
    }),
    ("URL_TLD", 0.5, "a link to one of the domains that are cheap to burn", |e| {
        e.urls.iter().any(|url| cheap_domain(&url.host))
    }),
    ("URL_NOT_SENDERS", 0.9, "links, and none to the sender's domain", |e| {
        let from = e.author_domain();
        !e.urls.is_empty()
            && !from.is_empty()
            && !e.is_reply()
            && e.urls.iter().all(|url| registered(&url.host) != registered(from))
    }),
    // What it is about.
    ("WINDFALL_2", 0.9, "two phrases about money for you", |e| e.phrases.of(Topic::Windfall) >= 2),
    ("WINDFALL_4", 3.2, "four phrases about money for you", |e| e.phrases.of(Topic::Windfall) >= 4),
    ("LOAN", 1.9, "a phrase about loans", |e| e.phrases.of(Topic::Loan) >= 1),
    ("LOAN_2", 1.6, "two phrases about loans", |e| e.phrases.of(Topic::Loan) >= 2),
    ("PILLS", 1.1, "a phrase about pills", |e| e.phrases.of(Topic::Pills) >= 1),
    ("PILLS_2", 2.3, "two phrases about pills", |e| e.phrases.of(Topic::Pills) >= 2),
    ("DATING", 0.3, "a phrase about company", |e| e.phrases.of(Topic::Dating) >= 1),
    ("DATING_2", 1.7, "two phrases about company", |e| e.phrases.of(Topic::Dating) >= 2),
    ("PRESSURE", 0.4, "a phrase that presses", |e| e.phrases.of(Topic::Pressure) >= 1),
    ("PRESSURE_3", 1.1, "three phrases that press", |e| e.phrases.of(Topic::Pressure) >= 3),
    ("ACCOUNT", 1.9, "a phrase about an account in danger", |e| e.phrases.of(Topic::Account) >= 1),
    ("ACCOUNT_2", 2.6, "two phrases about an account in danger", |e| e.phrases.of(Topic::Account) >= 2),
    ("EARN", 1.6, "a phrase about earning from home", |e| e.phrases.of(Topic::Earn) >= 1),
    ("EARN_2", 1.7, "two phrases about earning from home", |e| e.phrases.of(Topic::Earn) >= 2),
    ("SELLING_2", 0.8, "two phrases of unasked offers", |e| e.phrases.of(Topic::Selling) >= 2),
    ("REMOVE_ME", 1.3, "a phrase about being removed from a list", |e| e.phrases.of(Topic::RemoveMe) >= 1),
    ("REMOVE_ME_2", 1.4, "two phrases about being removed from a list", |e| e.phrases.of(Topic::RemoveMe) >= 2),
    ("EXTORTION_2", 3.0, "two phrases of extortion", |e| e.phrases.of(Topic::Extortion) >= 2),
    ("GREETING", 1.6, "a greeting without a name", |e| e.phrases.of(Topic::Greeting) >= 1),
    // What is attached.
    ("ATTACHED_PROGRAM", 3.0, "a program is attached", |e| {
        let ends =
            [".exe", ".scr", ".pif", ".com", ".bat", ".cmd", ".vbs", ".js", ".jse", ".wsf", ".hta", ".lnk", ".iso"];
        e.attachments.iter().any(|file| ends.iter().any(|end| file.name.ends_with(end)))
    }),
    ("ATTACHED_HTML", 2.3, "a web page is attached", |e| {
        e.attachments.iter().any(|file| [".htm", ".html", ".shtml", ".svg"].iter().any(|end| file.name.ends_with(end)))
    }),
    ("ATTACHED_DOUBLE_NAME", 3.0, "an attached program says to be a document", |e| {
        e.attachments.iter().any(|file| {
            [".pdf.", ".doc.", ".docx.", ".jpg.", ".txt."]
                .iter()
                .any(|middle| file.name.find(middle).is_some_and(|at| file.name.len() <= at + middle.len() + 4))
                && !file.name.ends_with(".asc")
                && !file.name.ends_with(".sig")
                && !file.media_type.starts_with("text/")
        })
    }),
    // Signs of the ordinary.
    ("IS_REPLY", -2.0, "an answer to other mail", |e| e.is_reply()),
    ("AUTHENTICATED", -2.0, "the client authenticated", |e| e.authenticated),
    ("HAS_PATCH", -2.0, "a patch or a quotation in it", |e| {
        contains(&e.text, "--- a/") || contains(&e.text, " wrote: >")
    }),
];

const BRANDS: &[&str] = &[
    "paypal",
    "ebay",
    "amazon",
    "netflix",
    "microsoft",
    "apple",
    "dhl",
    "fedex",
    "ups",
    "usps",
    "chase",
    "citibank",
    "wells fargo",
    "bank of america",
    "hsbc",
    "docusign",
    "coinbase",
    "metamask",
    "binance",
    "walmart",
    "costco",
    "norton",
    "mcafee",
    "geek squad",
    "santander",
    "bradesco",
    "whatsapp",
    "facebook",
    "instagram",
    "ledger",
    "trezor",
];

fn is_free_mail(domain: &str) -> bool {
    let known = [
        "gmail.com",
        "yahoo.com",
        "hotmail.com",
        "outlook.com",
        "aol.com",
        "gmx.com",
        "mail.ru",
        "yandex.ru",
        "yandex.com",
        "proton.me",
        "protonmail.com",
        "163.com",
        "126.com",
        "qq.com",
        "naver.com",
        "zoho.com",
        "icloud.com",
        "live.com",
        "consultant.com",
        "mail.com",
    ];
    known.contains(&domain) || domain.starts_with("yahoo.co")
}

fn cheap_domain(domain: &str) -> bool {
    let known = [
        "top", "xyz", "click", "icu", "buzz", "online", "site", "website", "shop", "store", "live", "life", "club",
        "work", "rest", "monster", "cyou", "cfd", "sbs", "bond", "quest", "beauty", "best", "bid", "biz", "fun", "gq",
        "cf", "tk", "ml", "ga", "loan", "men", "date", "win", "stream", "space", "today", "world", "pw", "su", "host",
        "press",
    ];
    domain.rsplit_once('.').is_some_and(|(_, last)| known.contains(&last))
}

fn looks_dynamic(name: &str) -> bool {
    let digits = name.chars().filter(char::is_ascii_digit).count();
    let words = ["dyn", "dsl", "dhcp", "dial", "pool", "ppp", "cable", "client", "broadband", "static-ip"];
    digits >= 6 && words.iter().any(|word| name.contains(word))
}

fn is_private(host: &str) -> bool {
    host.parse::<std::net::Ipv4Addr>().is_ok_and(|address| {
        address.is_private() || address.is_loopback() || address.is_unspecified() || address.is_link_local()
    })
}

fn longest_run(text: &str, wanted: impl Fn(char) -> bool) -> usize {
    text.split(|c| !wanted(c)).map(str::len).max().unwrap_or_default()
}

/// Whether a word has Latin letters and letters of a script that looks like Latin.
fn mixes_scripts(text: &str) -> bool {
    text.split(|c: char| !c.is_alphabetic()).any(|word| {
        let latin = word.chars().any(|c| c.is_ascii_alphabetic());
        let other = word.chars().any(|c| matches!(c, '\u{370}'..='\u{3ff}' | '\u{400}'..='\u{4ff}'));
        // Letters of mathematics, used as a disguise.
        let styled = word.chars().any(|c| matches!(c, '\u{1d400}'..='\u{1d7ff}'));
        (latin && other) || styled
    })
}

fn has_word(text: &str, word: &str) -> bool {
    text.match_indices(word).any(|(at, _)| {
        let touches = |c: Option<char>| c.is_some_and(char::is_alphanumeric);
        !touches(text.get(..at).and_then(|before| before.chars().next_back()))
            && !touches(text.get(at.saturating_add(word.len())..).and_then(|behind| behind.chars().next()))
    })
}

/// `V I A G R A`, `f-r-e-e`.
fn has_gappy_word(text: &str) -> bool {
    let mut run = 0_u32;
    for word in text.split([' ', '-', '.', '_', '*']) {
        run =
            if word.chars().count() == 1 && word.chars().all(char::is_alphabetic) { run.saturating_add(1) } else { 0 };
        if run >= 5 {
            return true;
        }
    }
    false
}

/// What stands behind each `mark`, up to the next one: as `str::split`, which takes several times as long.
fn behind_each<'t>(text: &'t str, mark: &str) -> impl Iterator<Item = &'t str> {
    let mut marks = memmem::find_iter(text.as_bytes(), mark).peekable();
    std::iter::from_fn(move || {
        let behind = marks.next()?.checked_add(mark.len())?;
        text.get(behind..marks.peek().copied().unwrap_or(text.len()))
    })
}

/// Whether `mark` stands somewhere with one of `ends` right behind it.
fn followed(text: &str, mark: &str, ends: &[&str]) -> bool {
    behind_each(text, mark).any(|rest| ends.iter().any(|end| rest.starts_with(end)))
}

/// What stands behind each sign of a currency.
fn behind_money(text: &str) -> impl Iterator<Item = &str> {
    // By the first byte of each.
    memchr::memchr3_iter(b'$', b'\xe2', b'\xc2', text.as_bytes())
        .filter_map(|at| text.get(at..)?.strip_prefix(['$', '€', '£']))
}

/// `<a href="http://evil.example/">http://bank.example/</a>`
fn link_mismatch(html: &str) -> bool {
    behind_each(html, "<a ").any(|link| {
        let Some((tag, shown)) = link.split_once('>') else { return false };
        let shown = shown.trim_start();
        if !shown.starts_with("http") {
            return false;
        }
        let shown = shown.split("</a").next().unwrap_or_default();
        let target = super::urls::urls(tag);
        match (target.first(), super::urls::urls(shown).first()) {
            (Some(target), Some(shown)) => registered(&target.host) != registered(&shown.host),
            _ => false,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_readme_has_every_rule_as_it_is() {
        let readme = include_str!("../../README.md");
        for rule in RULES {
            let row = format!("| {} | {} | {} |", rule.name, rule.score, rule.description);
            assert!(readme.lines().any(|line| line == row), "missing: {row}");
        }
        let rows =
            readme.lines().filter(|line| line.starts_with("| ") && RULES.iter().any(|rule| line.contains(rule.name)));
        assert!(rows.count() >= RULES.len());
    }

    #[test]
    fn names_are_unique() {
        for (index, rule) in RULES.iter().enumerate() {
            assert!(RULES.iter().skip(index + 1).all(|other| other.name != rule.name), "{}", rule.name);
        }
    }

    #[test]
    fn look_alikes_and_gaps_are_told_from_ordinary_text() {
        assert!(mixes_scripts("P\u{430}yPal") && !mixes_scripts("PayPal \u{43f}\u{440}\u{438}\u{432}\u{435}\u{442}"));
        assert!(has_gappy_word("buy V I A G R A now") && !has_gappy_word("a plan b for e-mail"));
        assert!(has_word("your amazon.com order", "amazon") && !has_word("groups", "ups"));
    }

    #[test]
    fn a_link_that_shows_another_address_is_found() {
        assert!(link_mismatch("<a href=\"http://evil.example/x\">http://bank.test/login</a>"));
        assert!(!link_mismatch(
            "<a href=\"http://www.bank.test/x\">https://bank.test/</a> <a href='http://a.test'>here</a>"
        ));
    }

    #[test]
    fn what_follows_a_mark_is_found() {
        assert_eq!(behind_each("a--b-c--", "--").collect::<Vec<_>>(), ["b-c", ""]);
        assert!(followed("x size=3 size=7", "size=", &["5", "7"]) && !followed("size= 7", "size=", &["7"]));
        assert_eq!(behind_money("1$2\u{e9}\u{2019}€3 £").collect::<Vec<_>>(), ["2\u{e9}\u{2019}€3 £", "3 £", ""]);
    }

    #[test]
    fn dynamic_lines_and_cheap_domains() {
        assert!(looks_dynamic("24-176-157-84.dhcp.example.com") && !looks_dynamic("mail2.example.com"));
        assert!(cheap_domain("win.example.top") && !cheap_domain("top.example.com"));
    }
}
