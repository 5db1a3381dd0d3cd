//! Writing and reading event streams, in events per second.

use bindu_http::sse::{Parser, write_event};
use bytes::{Bytes, BytesMut};
use divan::counter::ItemsCount;
use divan::{Bencher, black_box};

const EVENTS: u32 = 1000;
const DATA: &[u8] = br#"{"jsonrpc":"2.0","id":1,"result":{"kind":"artifact-update","taskId":"0198c5c1-7a5e-7000-8000-000000000000","contextId":"0198c5c1-7a5e-7000-8000-000000000001","append":true,"lastChunk":false,"artifact":{"artifactId":"0198c5c1-7a5e-7000-8000-000000000002","parts":[{"kind":"text","text":"word "}]}}}"#;

fn main() {
    divan::main();
}

fn write(buffer: &mut BytesMut) {
    for id in 0..EVENTS {
        write_event(buffer, Some(id.into()), None, DATA).expect("there is no event name");
    }
}

#[divan::bench]
fn write_a_batch(bencher: Bencher<'_, '_>) {
    let mut buffer = BytesMut::new();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        buffer.clear();
        write(&mut buffer);
        black_box(buffer.len())
    });
}

#[divan::bench(args = [1024, 16 * 1024, usize::MAX])]
fn read_in_pieces(bencher: Bencher<'_, '_>, piece: usize) {
    let mut buffer = BytesMut::new();
    write(&mut buffer);
    let stream: Bytes = buffer.freeze();
    bencher.counter(ItemsCount::new(EVENTS)).bench_local(|| {
        let mut parser = Parser::new();
        let mut rest = stream.clone();
        let mut seen = 0_u32;
        while !rest.is_empty() {
            parser.push(rest.split_to(piece.min(rest.len())));
            while let Ok(Some(event)) = parser.next_event() {
                black_box(event);
                seen += 1;
            }
        }
        assert_eq!(seen, EVENTS);
    });
}
