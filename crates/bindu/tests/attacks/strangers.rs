//! Many strangers cost little.

use std::time::Instant;

use bindu_http::client::Client;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::Request;

use super::site::{Letter, Site, send};
use crate::caller::Result;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_made_up_tokens_are_a_few_questions_to_hydra() -> Result {
    let site = Site::start().await?;
    assert_eq!(site.locked.post(&Letter::bearing("tok-service", &send())).await?.status, 200);
    let questions = || site.hydra.count("POST", "/admin/oauth2/introspect");
    let before = questions();
    let (http, url) = (Client::default(), site.locked.agent.url().to_owned());
    let begun = Instant::now();
    let statuses: Vec<_> = stream::iter(0..10_000)
        .map(|number| {
            let (http, url) = (http.clone(), url.clone());
            async move {
                let request =
                    Request::post(url).header("Authorization", format!("Bearer {number}"));
                // Where it comes from is not for the stranger to say.
                let address = format!("192.0.2.{}", number % 256);
                let request = request.header("X-Forwarded-For", address);
                Ok::<_, crate::caller::Error>(
                    http.send(request.body(Bytes::new())?).await?.status(),
                )
            }
        })
        .buffer_unordered(32)
        .collect()
        .await;
    let mut refused = [0, 0];
    for status in statuses {
        match status?.as_u16() {
            401 => refused[0] += 1,
            429 => refused[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert_eq!(refused[0] + refused[1], 10_000);
    // A hundred, and one more each fifth of a second.
    let asked = questions() - before;
    let allowed = 100 + usize::try_from(begun.elapsed().as_millis() / 200)? + 1;
    assert!(asked <= allowed, "{asked} questions, {allowed} allowed");
    // From the very same address, whoever is known gets through.
    assert_eq!(site.locked.post(&Letter::bearing("tok-service", &send())).await?.status, 200);
    Ok(())
}

#[tokio::test]
async fn signatures_that_are_good_for_nothing_ask_about_no_key() -> Result {
    let site = Site::start().await?;
    let ann = site.somebody("ann")?;
    let letter = ann.letter(&send());
    let keys = || site.hydra.count("GET", &format!("/admin/clients/{}", ann.did));
    for number in 0..50 {
        let old = letter.clone().changed("X-DID-Timestamp", &number.to_string());
        assert_eq!(site.locked.post(&old).await?.status, 403);
        let foreign = letter.clone().changed("X-DID", &format!("did:bindu:x:{number}"));
        assert_eq!(site.locked.post(&foreign).await?.status, 403);
    }
    assert_eq!(keys(), 0);
    // A key that was just looked up is not asked about again for a signature that does not fit.
    for number in 0..50 {
        let mut other = letter.clone();
        other.body = format!("{number}");
        assert_eq!(site.locked.post(&other).await?.status, 403);
    }
    assert_eq!(keys(), 1);
    Ok(())
}
