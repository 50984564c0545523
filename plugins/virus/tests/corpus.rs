//! The EICAR containers of the corpus, when it is there (`target/corpus/shared`); elsewhere this test has nothing to do.

use std::{fs, path::PathBuf};
use virus::Virus;
use wasmilter_sdk::{FactValue, Message, testing};

/// A message with this one attachment.
fn attached(content: &[u8]) -> Message {
    let base64 = data_encoding::BASE64_MIME.encode(content);
    let head =
        "Subject: x\r\nContent-Type: application/octet-stream; name=file\r\nContent-Transfer-Encoding: base64\r\n\r\n";
    Message::parse(format!("{head}{base64}\r\n").as_bytes())
}

#[test]
fn eicar_is_found_in_plain_and_zipped_files() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus/shared/5-virus/eicar-containers");
    if !corpus.exists() {
        return;
    }
    for name in ["eicar-com.com", "eicar-test.txt", "eicar-zip.zip", "eicar-zip2.zip"] {
        let message = attached(&fs::read(corpus.join(name)).unwrap());
        let decision = testing::judge::<Virus>("{}", &message).unwrap();
        let infected = decision.facts().iter().find(|fact| fact.name == "infected").map(|fact| &fact.value);
        assert!(matches!(infected, Some(FactValue::Flag(true))), "{name}: {:?}", decision.facts());
    }
}

#[test]
fn no_file_of_the_corpus_is_too_much() {
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../target/corpus/shared/5-virus");
    for folder in ["bombs", "oletools", "eicar-containers"] {
        let Ok(files) = fs::read_dir(corpus.join(folder)) else { continue };
        for file in files {
            let path = file.unwrap().path();
            let Ok(content) = fs::read(&path) else { continue };
            let decision = testing::judge::<Virus>("{}", &attached(&content));
            assert!(decision.is_ok(), "{}", path.display());
        }
    }
}
