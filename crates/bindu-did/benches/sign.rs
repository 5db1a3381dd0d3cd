//! Costs of the hot path: signing a text, verifying it, encoding a signature.

use bindu_did::{SigningKey, json};

fn main() {
    divan::main();
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

#[divan::bench]
fn sign_text(bencher: divan::Bencher<'_, '_>) {
    let key = key();
    bencher.bench(|| key.sign_text(divan::black_box("the answer is 42")));
}

#[divan::bench]
fn verify_text(bencher: divan::Bencher<'_, '_>) {
    let key = key();
    let signature = key.sign_text("the answer is 42");
    let public = key.public_key();
    bencher.bench(|| public.verify_text(divan::black_box("the answer is 42"), &signature));
}

#[divan::bench]
fn encode_signature(bencher: divan::Bencher<'_, '_>) {
    let signature = key().sign_text("the answer is 42");
    bencher.bench(|| divan::black_box(&signature).to_base58());
}

#[divan::bench]
fn canonical_json(bencher: divan::Bencher<'_, '_>) {
    let value = serde_json::json!({ "rows": [1, 2.5, "three"], "ok": true, "name": "sales.csv" });
    bencher.bench(|| json::canonical(divan::black_box(&value)));
}
