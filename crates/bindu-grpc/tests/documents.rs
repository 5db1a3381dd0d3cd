//! Documents become text in another process, whatever they do to it.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use bindu_agent::Turn;
use bindu_grpc::content::Transcriber;
use bindu_grpc::documents::{Config, DocumentError, Documents, Kind, MAX_INFLATED, Program};
use bindu_protocol::{File, Message, Part, Role};
use lopdf::{Dictionary, Document, Object, Stream, dictionary};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

const WORDS: &str = "http://schemas.openxmlformats.org/wordprocessingml/2006/main";

fn config() -> Config {
    let path = env!("CARGO_BIN_EXE_bindu-extract-text").into();
    // Generous, so that a busy machine does not matter.
    Config {
        program: Some(Program { path, arguments: Vec::new() }),
        timeout: Duration::from_mins(10),
        ..Config::default()
    }
}

async fn text(kind: Kind, bytes: Vec<u8>) -> Result<String, DocumentError> {
    Documents::new(config()).text(kind, bytes).await.map(|text| text.to_string())
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fixtures/grpc/documents");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// A program in the shell, for what only a bad parser does.
fn shell(script: &str) -> Config {
    let arguments = vec!["-c".into(), script.into()];
    Config { program: Some(Program { path: "/bin/sh".into(), arguments }), ..config() }
}

/// One page that draws with one font.
fn pdf(content: Stream) -> Vec<u8> {
    let mut document = Document::with_version("1.5");
    let pages = document.new_object_id();
    let font = document.add_object(dictionary! {
        "Type" => "Font", "Subtype" => "Type1", "BaseFont" => "Helvetica",
        "Encoding" => "WinAnsiEncoding",
    });
    let resources = dictionary! { "Font" => dictionary! { "F1" => font } };
    let content = document.add_object(content);
    let page = document.add_object(dictionary! {
        "Type" => "Page", "Parent" => pages, "Contents" => content, "Resources" => resources,
    });
    let tree = dictionary! { "Type" => "Pages", "Kids" => vec![page.into()], "Count" => 1 };
    document.objects.insert(pages, Object::Dictionary(tree));
    let catalog = document.add_object(dictionary! { "Type" => "Catalog", "Pages" => pages });
    document.trailer.set("Root", catalog);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    bytes
}

fn drawing(text: impl Into<Vec<u8>>) -> Stream {
    Stream::new(Dictionary::new(), text.into())
}

fn archive(parts: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, text) in parts {
        archive.start_file(*name, SimpleFileOptions::default()).unwrap();
        archive.write_all(text.as_bytes()).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

fn docx(document: &str) -> Vec<u8> {
    let relations = r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">
        <Relationship Id="1" Target="/text/main.xml"
            Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument"/>
        </Relationships>"#;
    archive(&[("_rels/.rels", relations), ("text/main.xml", document)])
}

/// A document of these paragraphs.
fn body(inside: &str) -> String {
    format!(r#"<w:document xmlns:w="{WORDS}"><w:body>{inside}</w:body></w:document>"#)
}

#[tokio::test]
async fn a_pdf_is_its_pages_line_by_line() {
    let expected =
        "Quarterly report\nSales rose by 7 % (see caf\u{e9}).\nA line of its own 42\nSecond page";
    assert_eq!(text(Kind::Pdf, fixture("two-pages.pdf")).await.unwrap(), expected);
}

#[tokio::test]
async fn a_docx_is_its_paragraphs_in_order() {
    let expected =
        "Quarterly report\nSales rose by 7 % & more\tthan <ever>.\n\ncaf\u{e9}\n42\nThe end";
    assert_eq!(text(Kind::Docx, fixture("report.docx")).await.unwrap(), expected);
}

#[tokio::test]
async fn what_is_no_text_of_a_paragraph_is_left_out() {
    let inside = r#"<w:p><w:pPr><w:tabs><w:tab w:val="left"/></w:tabs></w:pPr>
        <w:r><w:t>a</w:t><w:br/><w:t>&#98;<![CDATA[<c>]]></w:t></w:r>
        <w:del><w:r><w:delText>gone</w:delText></w:r></w:del>
        <w:r><w:instrText>PAGE</w:instrText><w:noBreakHyphen/></w:r></w:p>
        <mc:AlternateContent xmlns:mc="http://schemas.openxmlformats.org/markup-compatibility/2006">
        <mc:Choice><w:p><w:r><w:t>box</w:t></w:r></w:p></mc:Choice>
        <mc:Fallback><w:p><w:r><w:t>box for old programs</w:t><w:tab/></w:r></w:p></mc:Fallback>
        </mc:AlternateContent>
        <x:p xmlns:x="elsewhere"><x:r><x:t>not ours</x:t></x:r></x:p>
        <w:p/>"#;
    assert_eq!(text(Kind::Docx, docx(&body(inside))).await.unwrap(), "a\nb<c>-\nbox\n");
}

#[tokio::test]
async fn garbage_and_pieces_are_unreadable() {
    let (pages, report) = (fixture("two-pages.pdf"), fixture("report.docx"));
    for (kind, bytes) in [
        (Kind::Pdf, Vec::new()),
        (Kind::Pdf, b"nope".to_vec()),
        (Kind::Pdf, b"%PDF-1.7\n%%EOF".to_vec()),
        (Kind::Pdf, pages[..200].to_vec()),
        (Kind::Pdf, report.clone()),
        (Kind::Docx, Vec::new()),
        (Kind::Docx, b"PK\x03\x04nope".to_vec()),
        (Kind::Docx, report[..report.len() / 2].to_vec()),
        (Kind::Docx, pages.clone()),
        (Kind::Docx, archive(&[("_rels/.rels", "<Relationships/>")])),
    ] {
        let length = bytes.len();
        let error = text(kind, bytes).await.unwrap_err();
        assert_eq!(error, DocumentError::Unreadable, "{kind:?} of {length} bytes");
    }
    for broken in [
        "<w:document",
        "",
        &body("<w:p></w:q>"),
        &body("<w:p><w:r><w:t>&unknown;</w:t></w:r></w:p>"),
        body("<w:p><w:r><w:t>cut</w:t>").trim_end_matches("</w:body></w:document>"),
    ] {
        let error = text(Kind::Docx, docx(broken)).await.unwrap_err();
        assert_eq!(error, DocumentError::Unreadable, "{broken}");
    }
}

#[tokio::test]
async fn bombs_do_not_go_off() {
    // Some hundred kilobytes, which inflate to more than is allowed.
    let blanks = " ".repeat(MAX_INFLATED + 1);
    let bomb = docx(&body(&blanks));
    assert!(bomb.len() < MAX_INFLATED / 100, "{}", bomb.len());
    assert_eq!(text(Kind::Docx, bomb).await, Err(DocumentError::Unreadable));
    let mut content = drawing(blanks);
    content.compress().unwrap();
    let bomb = pdf(content);
    assert!(bomb.len() < MAX_INFLATED / 100, "{}", bomb.len());
    assert_eq!(text(Kind::Pdf, bomb).await, Err(DocumentError::Unreadable));
}

#[tokio::test]
async fn deep_nesting_harms_nobody() {
    let deep = body(&format!("{}{}", "<w:p>".repeat(50_000), "</w:p>".repeat(50_000)));
    // Whether it is readable is the parser's matter; that it ends is ours.
    let read = text(Kind::Docx, docx(&deep)).await;
    assert!(read.is_err() || read.is_ok_and(|text| text.trim().is_empty()));
    let nested = format!("{}{} Tj", "[".repeat(200_000), "]".repeat(200_000));
    let read = text(Kind::Pdf, pdf(drawing(nested))).await;
    assert!(read.is_err() || read.is_ok_and(|text| text.is_empty()));
    let mut whole = b"%PDF-1.5\n1 0 obj\n".to_vec();
    whole.extend("<</A".repeat(200_000).bytes());
    whole.extend(b"\nendobj\ntrailer <</Root 1 0 R>>\n%%EOF");
    assert_eq!(text(Kind::Pdf, whole).await, Err(DocumentError::Unreadable));
}

#[tokio::test]
async fn a_drawing_that_draws_itself_ends() {
    let mut document = Document::load_mem(&pdf(drawing("/X Do"))).unwrap();
    let form = document.new_object_id();
    let resources = dictionary! { "XObject" => dictionary! { "X" => form } };
    let header = dictionary! {
        "Type" => "XObject", "Subtype" => "Form", "Resources" => resources.clone(),
    };
    document.objects.insert(form, Stream::new(header, b"/X Do /X Do".to_vec()).into());
    let page = document.page_iter().next().unwrap();
    document.get_dictionary_mut(page).unwrap().set("Resources", resources);
    let mut bytes = Vec::new();
    document.save_to(&mut bytes).unwrap();
    assert_eq!(text(Kind::Pdf, bytes).await.unwrap(), "");
}

#[tokio::test]
async fn a_long_text_is_cut_off_and_says_so() {
    let documents = Documents::new(Config { max_text: 10, ..config() });
    let read = documents.text(Kind::Pdf, fixture("two-pages.pdf")).await.unwrap();
    let expected = "Quarterly \n[The document goes on; this is the first 10 bytes of its text]";
    assert_eq!(&*read, expected);
}

#[tokio::test]
async fn too_much_is_not_even_tried() {
    let documents = Documents::new(Config { max_bytes: 3, ..shell("echo no; exit 1") });
    assert_eq!(documents.text(Kind::Pdf, vec![0; 4]).await, Err(DocumentError::TooLarge));
    let plain = documents.text(Kind::Plain, b"1234".to_vec()).await;
    assert_eq!(plain.as_deref(), Ok("1234"));
}

#[tokio::test]
async fn a_document_is_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let script = format!("cat >/dev/null; echo x >>'{0}'; cat '{0}'", count.display());
    // One at a time, so that the second of two at once finds what the first has read.
    let documents = Documents::new(Config { concurrency: 1, ..shell(&script) });
    let again = documents.clone();
    let same = || documents.text(Kind::Pdf, b"same".to_vec());
    let (one, two) =
        tokio::join!(same(), async move { again.text(Kind::Pdf, b"same".to_vec()).await });
    assert_eq!((one.as_deref(), two.as_deref()), (Ok("x\n"), Ok("x\n")));
    assert_eq!(same().await.as_deref(), Ok("x\n"));
    let other = documents.text(Kind::Pdf, b"other".to_vec()).await;
    assert_eq!(other.as_deref(), Ok("x\nx\n"));
    let as_docx = documents.text(Kind::Docx, b"same".to_vec()).await;
    assert_eq!(as_docx.as_deref(), Ok("x\nx\nx\n"));
}

#[tokio::test]
async fn what_cannot_be_read_is_not_tried_at_once_again() {
    let folder = tempfile::tempdir().unwrap();
    let count = folder.path().join("count");
    let documents = Documents::new(shell(&format!("echo x >>'{}'; exit 1", count.display())));
    for _ in 0..3 {
        let read = documents.text(Kind::Pdf, b"same".to_vec()).await;
        assert_eq!(read, Err(DocumentError::Unreadable));
    }
    assert_eq!(std::fs::read_to_string(count).unwrap(), "x\n");
}

/// Waits until no process has this id any more.
async fn gone(process: &str) {
    let path = format!("/proc/{}", process.trim());
    tokio::time::timeout(Duration::from_mins(1), async {
        while std::fs::exists(&path).unwrap() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    })
    .await
    .expect("the parser should be gone");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_parser_that_takes_too_long_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let process = folder.path().join("process");
    let script = format!("echo $$ >'{}'; exec sleep 600", process.display());
    // A shell that has not even begun when it is killed proves nothing.
    for (number, seconds) in [1, 4, 16, 64, 256].into_iter().enumerate() {
        let timeout = Duration::from_secs(seconds);
        let documents = Documents::new(Config { timeout, ..shell(&script) });
        let read = documents.text(Kind::Pdf, vec![u8::try_from(number).unwrap()]).await;
        assert_eq!(read, Err(DocumentError::TooSlow));
        if let Ok(id) = std::fs::read_to_string(&process) {
            return gone(&id).await;
        }
    }
    panic!("the parser should have started");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_parser_goes_with_whoever_wanted_its_text() {
    let folder = tempfile::tempdir().unwrap();
    let process = folder.path().join("process");
    let script = format!("echo $$ >'{}'; exec sleep 600", process.display());
    let documents = Documents::new(Config { concurrency: 1, ..shell(&script) });
    let reading = documents.clone();
    let reading = tokio::spawn(async move { reading.text(Kind::Pdf, b"slow".to_vec()).await });
    let id = tokio::time::timeout(Duration::from_mins(1), async {
        loop {
            match std::fs::read_to_string(&process) {
                Ok(id) if id.ends_with('\n') => return id,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    });
    let id = id.await.expect("the parser should start");
    reading.abort();
    assert!(reading.await.unwrap_err().is_cancelled());
    gone(&id).await;
}

#[tokio::test]
async fn a_parser_that_says_too_much_or_no_text_is_not_believed() {
    let endless = Documents::new(Config { max_text: 1000, ..shell("exec cat /dev/zero") });
    assert_eq!(endless.text(Kind::Pdf, vec![1]).await, Err(DocumentError::Unreadable));
    let no_text = Documents::new(shell(r"cat >/dev/null; printf '\377'"));
    assert_eq!(no_text.text(Kind::Pdf, vec![1]).await, Err(DocumentError::Unreadable));
    let failing = Documents::new(shell("cat >/dev/null; echo text; exit 3"));
    assert_eq!(failing.text(Kind::Pdf, vec![1]).await, Err(DocumentError::Unreadable));
}

#[tokio::test]
async fn a_parser_sees_no_environment() {
    let documents = Documents::new(shell("cat >/dev/null; echo \"[$HOME$CARGO_MANIFEST_DIR]\""));
    let read = documents.text(Kind::Pdf, vec![1]).await;
    assert_eq!(read.as_deref(), Ok("[]\n"));
}

#[tokio::test]
async fn without_its_program_nothing_is_read() {
    let program = Program { path: "/nowhere/at/all".into(), arguments: Vec::new() };
    for program in [None, Some(program)] {
        let documents = Documents::new(Config { program, ..config() });
        let read = documents.text(Kind::Pdf, fixture("two-pages.pdf")).await;
        assert_eq!(read, Err(DocumentError::NoProgram));
    }
}

#[tokio::test]
async fn a_document_in_a_message_is_framed() {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::STANDARD.encode(fixture("report.docx"));
    let media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
    let file = File { bytes: Some(bytes), mime_type: Some(media_type.into()), ..File::default() };
    let message = Message::new(Role::User, vec![Part::text("read"), Part::file(file)]);
    let transcriber = Transcriber::new(Documents::new(config()));
    let request = transcriber.request(&Turn::from(message)).await;
    let content = &request.messages[0].content;
    assert!(content.starts_with("read --- Document Uploaded ---\nQuarterly report\n"), "{content}");
    assert!(content.ends_with("\nThe end\n--- End of Document ---"), "{content}");
}

#[tokio::test]
async fn no_more_parsers_run_at_once_than_allowed() {
    let folder = tempfile::tempdir().unwrap();
    // A parser that finds another one at work says so.
    let script = format!(
        "cat >/dev/null; mkdir '{0}/one' && sleep 0.05 && rmdir '{0}/one' && echo alone",
        folder.path().display()
    );
    let documents = Arc::new(Documents::new(Config { concurrency: 1, ..shell(&script) }));
    let running: Vec<_> = (0..5)
        .map(|number| {
            let documents = Arc::clone(&documents);
            tokio::spawn(async move { documents.text(Kind::Pdf, vec![number]).await })
        })
        .collect();
    for one in running {
        assert_eq!(one.await.unwrap().as_deref(), Ok("alone\n"));
    }
}
