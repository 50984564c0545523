//! Phrases, found in one pass whatever their number. Written in lower case with single spaces, as the text is when it is
//! searched; each belongs to a topic, and rules look at how many different phrases of a topic occur.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

/// What a phrase is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Topic {
    Windfall,
    Loan,
    Pills,
    Dating,
    Pressure,
    Account,
    Earn,
    Selling,
    RemoveMe,
    Extortion,
    Greeting,
}

impl Topic {
    const COUNT: usize = 11;
}

/// The phrases and what finds them.
#[derive(Default)]
pub(crate) struct Phrases(Option<AhoCorasick>);

impl Phrases {
    pub(crate) fn new() -> Result<Self, String> {
        let built = AhoCorasick::builder()
            .match_kind(MatchKind::Standard)
            // Larger and built more slowly, once, and several times as fast for every message.
            .kind(Some(AhoCorasickKind::DFA))
            .build(PHRASES.iter().map(|(phrase, _)| phrase))
            .map_err(|error| format!("building the phrases: {error}"))?;
        Ok(Self(Some(built)))
    }

    /// Counts different phrases in all texts by topic.
    pub(crate) fn count(&self, texts: [&str; 2]) -> PhraseCounts {
        let mut counts = PhraseCounts::default();
        let mut seen = [false; PHRASES.len()];
        let Some(finder) = &self.0 else { return counts };
        for text in texts {
            for hit in finder.find_overlapping_iter(text) {
                let index = hit.pattern().as_usize();
                let (Some(seen), Some((_, topic))) = (seen.get_mut(index), PHRASES.get(index)) else { continue };
                if !*seen && is_word(text, hit.start(), hit.end()) {
                    *seen = true;
                    if let Some(count) = counts.0.get_mut(*topic as usize) {
                        *count = count.saturating_add(1);
                    }
                }
            }
        }
        counts
    }
}

/// How many different phrases of each topic occur.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct PhraseCounts([u32; Topic::COUNT]);

impl PhraseCounts {
    pub(crate) fn of(&self, topic: Topic) -> u32 {
        self.0.get(topic as usize).copied().unwrap_or_default()
    }
}

/// Whether no letter or digit touches it.
fn is_word(text: &str, start: usize, end: usize) -> bool {
    let letter = |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte >= 0x80);
    let bytes = text.as_bytes();
    !letter(start.checked_sub(1).and_then(|before| bytes.get(before))) && !letter(bytes.get(end))
}

const PHRASES: &[(&str, Topic)] = &[
    // Somebody has money for you.
    ("million dollars", Topic::Windfall),
    ("million united states dollars", Topic::Windfall),
    ("million usd", Topic::Windfall),
    ("united states dollars", Topic::Windfall),
    ("next of kin", Topic::Windfall),
    ("inheritance", Topic::Windfall),
    ("beneficiary", Topic::Windfall),
    ("lottery", Topic::Windfall),
    ("lucky winner", Topic::Windfall),
    ("you have won", Topic::Windfall),
    ("have been selected to receive", Topic::Windfall),
    ("claim your prize", Topic::Windfall),
    ("claims agent", Topic::Windfall),
    ("winning number", Topic::Windfall),
    ("deceased", Topic::Windfall),
    ("late husband", Topic::Windfall),
    ("your urgent response", Topic::Windfall),
    ("atm card", Topic::Windfall),
    ("western union", Topic::Windfall),
    ("barrister", Topic::Windfall),
    ("compensation fund", Topic::Windfall),
    ("fund transfer", Topic::Windfall),
    ("transfer of the fund", Topic::Windfall),
    ("bank draft", Topic::Windfall),
    ("security company", Topic::Windfall),
    ("consignment", Topic::Windfall),
    ("foreign partner", Topic::Windfall),
    ("utmost confidentiality", Topic::Windfall),
    ("strictly confidential", Topic::Windfall),
    ("business proposal", Topic::Windfall),
    ("god bless", Topic::Windfall),
    ("donation", Topic::Windfall),
    ("sum of $", Topic::Windfall),
    ("the sum of us", Topic::Windfall),
    // Money to borrow.
    ("mortgage rates", Topic::Loan),
    ("lowest rates", Topic::Loan),
    ("refinance", Topic::Loan),
    ("bad credit", Topic::Loan),
    ("credit repair", Topic::Loan),
    ("loan offer", Topic::Loan),
    ("apply for a loan", Topic::Loan),
    ("interest rate", Topic::Loan),
    ("debt consolidation", Topic::Loan),
    ("get out of debt", Topic::Loan),
    ("low interest", Topic::Loan),
    ("pre-approved", Topic::Loan),
    ("life insurance", Topic::Loan),
    // For the body.
    ("viagra", Topic::Pills),
    ("cialis", Topic::Pills),
    ("levitra", Topic::Pills),
    ("online pharmacy", Topic::Pills),
    ("no prescription", Topic::Pills),
    ("weight loss", Topic::Pills),
    ("lose weight", Topic::Pills),
    ("burn fat", Topic::Pills),
    ("hgh", Topic::Pills),
    ("human growth hormone", Topic::Pills),
    ("erectile", Topic::Pills),
    ("penis", Topic::Pills),
    ("male enhancement", Topic::Pills),
    ("cbd oil", Topic::Pills),
    ("keto", Topic::Pills),
    ("diabetes", Topic::Pills),
    ("anti-aging", Topic::Pills),
    // Company.
    ("adult site", Topic::Dating),
    ("hot singles", Topic::Dating),
    ("lonely", Topic::Dating),
    ("xxx", Topic::Dating),
    ("webcam", Topic::Dating),
    ("sexy", Topic::Dating),
    ("porn", Topic::Dating),
    ("18 years or older", Topic::Dating),
    ("over 18", Topic::Dating),
    ("russian women", Topic::Dating),
    // Hurry.
    ("act now", Topic::Pressure),
    ("act fast", Topic::Pressure),
    ("limited time", Topic::Pressure),
    ("limited offer", Topic::Pressure),
    ("order now", Topic::Pressure),
    ("order today", Topic::Pressure),
    ("call now", Topic::Pressure),
    ("click here", Topic::Pressure),
    ("click below", Topic::Pressure),
    ("don't miss", Topic::Pressure),
    ("while supplies last", Topic::Pressure),
    ("risk free", Topic::Pressure),
    ("risk-free", Topic::Pressure),
    ("no obligation", Topic::Pressure),
    ("100% free", Topic::Pressure),
    ("absolutely free", Topic::Pressure),
    ("satisfaction guaranteed", Topic::Pressure),
    ("money back guarantee", Topic::Pressure),
    ("money-back guarantee", Topic::Pressure),
    ("special promotion", Topic::Pressure),
    ("special offer", Topic::Pressure),
    ("once in a lifetime", Topic::Pressure),
    ("call toll free", Topic::Pressure),
    ("toll-free", Topic::Pressure),
    ("free gift", Topic::Pressure),
    ("free shipping", Topic::Pressure),
    ("free trial", Topic::Pressure),
    ("free quote", Topic::Pressure),
    ("all natural", Topic::Pressure),
    ("as seen on", Topic::Pressure),
    ("congratulations", Topic::Pressure),
    // Somebody wants a password.
    ("verify your account", Topic::Account),
    ("verify your information", Topic::Account),
    ("verify your identity", Topic::Account),
    ("update your account", Topic::Account),
    ("update your information", Topic::Account),
    ("update your billing", Topic::Account),
    ("update your payment", Topic::Account),
    ("confirm your account", Topic::Account),
    ("confirm your identity", Topic::Account),
    ("confirm your information", Topic::Account),
    ("account has been suspended", Topic::Account),
    ("account has been limited", Topic::Account),
    ("account has been locked", Topic::Account),
    ("account suspension", Topic::Account),
    ("account will be suspended", Topic::Account),
    ("account will be closed", Topic::Account),
    ("account will be deactivated", Topic::Account),
    ("suspend your account", Topic::Account),
    ("restore your account", Topic::Account),
    ("limited access", Topic::Account),
    ("unusual activity", Topic::Account),
    ("unusual sign-in", Topic::Account),
    ("suspicious activity", Topic::Account),
    ("unauthorized access", Topic::Account),
    ("security department", Topic::Account),
    ("account information", Topic::Account),
    ("online banking", Topic::Account),
    ("dear customer", Topic::Account),
    ("dear valued", Topic::Account),
    ("dear member", Topic::Account),
    ("dear user", Topic::Account),
    ("dear client", Topic::Account),
    ("dear account", Topic::Account),
    ("password expires", Topic::Account),
    ("password will expire", Topic::Account),
    ("keep current password", Topic::Account),
    ("mailbox is full", Topic::Account),
    ("mailbox storage", Topic::Account),
    ("quota exceeded", Topic::Account),
    ("billing information", Topic::Account),
    ("failed to deliver", Topic::Account),
    ("pending messages", Topic::Account),
    ("your package", Topic::Account),
    ("delivery attempt", Topic::Account),
    ("payment method", Topic::Account),
    ("seed phrase", Topic::Account),
    ("your wallet", Topic::Account),
    // Work from home.
    ("work from home", Topic::Earn),
    ("work at home", Topic::Earn),
    ("working from home", Topic::Earn),
    ("make money", Topic::Earn),
    ("extra income", Topic::Earn),
    ("earn money", Topic::Earn),
    ("financial freedom", Topic::Earn),
    ("home based business", Topic::Earn),
    ("home-based business", Topic::Earn),
    ("multi-level", Topic::Earn),
    ("business opportunity", Topic::Earn),
    ("be your own boss", Topic::Earn),
    ("investment opportunity", Topic::Earn),
    ("stock alert", Topic::Earn),
    ("bulk email", Topic::Earn),
    ("email addresses on cd", Topic::Earn),
    ("million email", Topic::Earn),
    ("targeted", Topic::Earn),
    ("guaranteed income", Topic::Earn),
    ("bitcoin investment", Topic::Earn),
    // Firms that nobody asked.
    ("manufacturer", Topic::Selling),
    ("our products", Topic::Selling),
    ("best price", Topic::Selling),
    ("lowest price", Topic::Selling),
    ("competitive price", Topic::Selling),
    ("wholesale", Topic::Selling),
    ("replica", Topic::Selling),
    ("rolex", Topic::Selling),
    ("first page of google", Topic::Selling),
    ("search engine optimization", Topic::Selling),
    ("seo services", Topic::Selling),
    ("website design", Topic::Selling),
    ("mobile app development", Topic::Selling),
    ("factory in china", Topic::Selling),
    ("leading supplier", Topic::Selling),
    ("email list", Topic::Selling),
    ("decision makers", Topic::Selling),
    // "Remove me."
    ("to be removed", Topic::RemoveMe),
    ("removed from our", Topic::RemoveMe),
    ("removed from future", Topic::RemoveMe),
    ("remove in the subject", Topic::RemoveMe),
    ("you are receiving this", Topic::RemoveMe),
    ("you received this email because", Topic::RemoveMe),
    ("this is not spam", Topic::RemoveMe),
    ("not spam", Topic::RemoveMe),
    ("no longer wish to receive", Topic::RemoveMe),
    ("do not wish to receive", Topic::RemoveMe),
    ("opt-out", Topic::RemoveMe),
    ("opt out", Topic::RemoveMe),
    ("one time mailing", Topic::RemoveMe),
    ("this is an advertisement", Topic::RemoveMe),
    // "I have filmed you."
    ("i recorded you", Topic::Extortion),
    ("your webcam", Topic::Extortion),
    ("my bitcoin wallet", Topic::Extortion),
    ("bitcoin address", Topic::Extortion),
    ("btc wallet", Topic::Extortion),
    ("i have access to your", Topic::Extortion),
    ("your contacts", Topic::Extortion),
    ("48 hours", Topic::Extortion),
    ("hacked", Topic::Extortion),
    // Nobody's name.
    ("dear friend", Topic::Greeting),
    ("dear beloved", Topic::Greeting),
    ("dear sir/madam", Topic::Greeting),
    ("dear sir/ madam", Topic::Greeting),
    ("dear sir or madam", Topic::Greeting),
    ("dear winner", Topic::Greeting),
    ("dear lucky", Topic::Greeting),
    ("attention:", Topic::Greeting),
    ("greetings to you", Topic::Greeting),
    ("dear homeowner", Topic::Greeting),
    ("dear email owner", Topic::Greeting),
    ("dear beneficiary", Topic::Greeting),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phrases_are_in_the_form_in_which_text_is_searched() {
        for (phrase, _) in PHRASES {
            assert_eq!(*phrase, phrase.to_lowercase());
            assert!(!phrase.contains("  ") && phrase.trim() == *phrase, "{phrase}");
        }
    }

    #[test]
    fn different_phrases_count_once_and_only_as_words() {
        let phrases = Phrases::new().unwrap();
        let counts = phrases.count(["viagra", "viagra and specialist, no prescription"]);
        assert_eq!(counts.of(Topic::Pills), 2);
        assert_eq!(counts.of(Topic::Loan), 0);
    }
}
