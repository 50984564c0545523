use crate::{
    AttachmentTypes,
    kind::{Group, Kind},
};
use wasmilter_sdk::testing;

#[test]
fn cases() {
    testing::cases::<AttachmentTypes>(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
}

#[test]
fn content_is_known_by_its_first_bytes() {
    for (start, group, ending) in [
        (&b"MZ\x90\0\x03"[..], Group::Program, "exe"),
        (
            &[b"\x7fELF\x02\x01\x01".as_slice(), &[0; 57]].concat(),
            Group::Program,
            "elf",
        ),
        (b"%PDF-1.7\n", Group::Document, "pdf"),
        (b"\x89PNG\r\n\x1a\n", Group::Image, "png"),
        (b"PK\x03\x04\x14\0", Group::Archive, "zip"),
        (b"#!/bin/sh\n", Group::Script, ""),
        (b"just text\n", Group::Text, ""),
        (b"\0\x01\x02\x03", Group::Unknown, ""),
    ] {
        let kind = Kind::of(start);
        assert_eq!(
            (kind.group, kind.ending),
            (group, ending),
            "{start:?}: {kind:?}"
        );
    }
}

#[test]
fn a_name_fits_or_does_not() {
    let pdf = Kind::of(b"%PDF-1.7\n");
    assert!(pdf.fits("pdf") && pdf.fits("somethingelse") && !pdf.fits("png") && !pdf.fits("exe"));
    let jpeg = Kind::of(b"\xff\xd8\xff\xe0");
    assert!(jpeg.fits("jpg") && jpeg.fits("jpeg") && !jpeg.fits("gif"));
    let zip = Kind::of(b"PK\x03\x04\x14\0");
    assert!(zip.fits("zip") && zip.fits("docx") && !zip.fits("pdf"));
    let text = Kind::of(b"MZ? no, text");
    assert!(text.fits("txt") && text.fits("csv"));
    assert!(!Kind::of(b"some text").fits("pdf"), "a PDF that is none");
}

#[test]
fn every_problem_is_told_with_its_place() {
    let config = r#"{"deny": ["programs", ".js", "image/*", ""], "allow": ["text/plain", "a/b/c"], "largest_archive": 0,
        "reply": "", "action": "delete", "colour": 1}"#;
    let problems = testing::configure::<AttachmentTypes>(config).err().unwrap();
    for place in [
        "/deny/0",
        "/deny/3",
        "/allow/1",
        "/largest_archive",
        "/reply",
        "/action",
        "/colour",
    ] {
        assert!(problems.mentions(place), "{place}: {problems:?}");
    }
    assert_eq!(problems.into_list().len(), 7);
    assert!(
        testing::configure::<AttachmentTypes>(r#"{"mismatch": false}"#).is_err(),
        "it would block nothing"
    );
}

#[test]
fn the_schema_has_what_administrators_need() {
    let schema = testing::schema::<AttachmentTypes>();
    assert_eq!(schema["additionalProperties"], false);
    assert_eq!(
        schema["properties"]["largest_archive"]["maximum"],
        50_000_000
    );
    assert!(
        schema["properties"]["deny"]["description"]
            .as_str()
            .unwrap()
            .contains("program")
    );
}
