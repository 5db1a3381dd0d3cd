//! What a request pays for a token that is remembered, which is nearly every request.

use std::convert::Infallible;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bindu_http::Body;
use bindu_http::client::Client;
use bindu_http::server::{Config as ServerConfig, Server, Shutdown};
use bindu_hydra::{Config, Hydra, Introspector, IntrospectorConfig};
use divan::Bencher;
use http::Response;
use tokio::runtime::Runtime;

fn main() {
    divan::main();
}

const TOKENS: usize = 500;

fn token(number: usize) -> String {
    format!("ory_at_{number:0>43}.{number:0>43}")
}

/// An introspector that remembers every token; the Hydra that said they are good is gone.
fn introspector(runtime: &Runtime) -> Introspector {
    let exp = SystemTime::now() + Duration::from_hours(1);
    let exp = exp.duration_since(UNIX_EPOCH).expect("it is later than 1970").as_secs();
    let answer = format!(
        r#"{{"active":true,"sub":"did:bindu:a:b","client_id":"did:bindu:a:b","exp":{exp},
            "scope":"openid offline agent:read agent:write","token_use":"access_token"}}"#
    );
    runtime.block_on(async {
        let server = Server::bind(ServerConfig::default(), "127.0.0.1:0").await.expect("a port");
        let url: url::Url = format!("http://{}", server.local_addr()).parse().expect("an address");
        let service = tower::service_fn(move |_| {
            let answer = answer.clone();
            async move { Ok::<_, Infallible>(Response::new(Body::from(answer))) }
        });
        let serving = tokio::spawn(server.serve(service, Shutdown::new()));
        let config = Config::new(url.clone(), url);
        let hydra = Hydra::new(&config, Client::default()).expect("settings that can be used");
        let introspector = Introspector::new(hydra, IntrospectorConfig::default());
        for number in 0..TOKENS {
            introspector.introspect(&token(number)).await.expect("an answer");
        }
        serving.abort();
        introspector
    })
}

#[divan::bench]
fn remembered(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().expect("a runtime");
    let introspector = introspector(&runtime);
    let tokens: Vec<_> = (0..TOKENS).map(token).collect();
    let mut next = tokens.iter().cycle();
    bencher.bench_local(|| introspector.remembered(next.next().expect("a cycle has no end")));
}

#[divan::bench]
fn introspected(bencher: Bencher<'_, '_>) {
    let runtime = Runtime::new().expect("a runtime");
    let introspector = introspector(&runtime);
    let tokens: Vec<_> = (0..TOKENS).map(token).collect();
    let mut next = tokens.iter().cycle();
    bencher.bench_local(|| {
        let token = next.next().expect("a cycle has no end");
        runtime.block_on(introspector.introspect(token))
    });
}
