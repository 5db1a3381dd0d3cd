//! Who is asked what texts mean.

use url::Url;

use super::address::check_url;
use super::{AgentConfig, Problem};
use crate::settings::{Secret, Settings};

/// Whose key `OPENROUTER_API_KEY` is: it is shown to nobody else.
const OPENROUTER: &str = "openrouter.ai";

/// Who is asked what texts mean, over the API of `/embeddings` that many services share.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EmbeddingService {
    /// Its address, without `/embeddings`.
    pub url: Url,
    /// The key to ask with.
    pub key: Secret,
}

/// Works it out; `None` if nobody is asked.
pub(super) fn embeddings(
    config: &AgentConfig,
    settings: &Settings,
    problems: &mut Vec<Problem>,
    warnings: &mut Vec<String>,
) -> Option<EmbeddingService> {
    const URL: &str = "NEGOTIATION__EMBEDDING_BASE_URL";
    let set = &settings.negotiation;
    if !set.use_embeddings {
        return None;
    }
    let url = check_url(&set.embedding_base_url)
        .map_err(|message| problems.push(Problem::new(URL, message)))
        .ok()?;
    let own = config.negotiation.as_ref().and_then(|own| own.embedding_api_key.as_ref());
    let is_openrouter = url.host_str() == Some(OPENROUTER) && url.scheme() == "https";
    let theirs = set
        .openrouter_api_key
        .as_ref()
        .filter(|_| config.capabilities.negotiation && is_openrouter);
    let given = own.or(set.embedding_api_key.as_ref()).or(theirs);
    let key = given.filter(|key| !key.reveal().trim().is_empty())?;
    if key.reveal().trim().chars().any(|c| !c.is_ascii_graphic()) {
        let name = if own.is_some() {
            "'negotiation.embedding_api_key'"
        } else {
            "the key for embeddings"
        };
        problems.push(Problem::new(name, "must be printable ASCII without blanks"));
        return None;
    }
    if !cfg!(feature = "embeddings") {
        warnings.push(
            "there is a key for embeddings, but this build has no `embeddings` feature: tasks are \
             judged by their words"
                .to_owned(),
        );
        return None;
    }
    if !matches!(set.embedding_provider.as_str(), "openrouter" | "openai") {
        warnings.push(format!(
            "NEGOTIATION__EMBEDDING_PROVIDER is {:?}, which is not known: {url} is asked as OpenAI is",
            set.embedding_provider
        ));
    }
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() == "http" && !is_here {
        warnings.push(format!("{URL} is http: the key goes over the network in the clear"));
    }
    Some(EmbeddingService { url, key: Secret::from(key.reveal().trim()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{NegotiationConfig, Resolved};

    fn resolved(config: &AgentConfig, variables: &[(&str, &str)]) -> Resolved {
        let settings = Settings::from_vars(variables.iter().copied()).expect("valid settings");
        Resolved::new(config, &settings).expect("a valid configuration")
    }

    fn key(config: &AgentConfig, variables: &[(&str, &str)]) -> Option<String> {
        resolved(config, variables).embeddings.map(|it| it.key.reveal().to_owned())
    }

    #[test]
    fn the_nearest_key_counts() {
        let mut config = AgentConfig::new("a", "b");
        let ours = ("NEGOTIATION__EMBEDDING_API_KEY", "ours");
        let theirs = ("OPENROUTER_API_KEY", "theirs");
        let told = |key: &str| cfg!(feature = "embeddings").then(|| key.to_owned());
        assert_eq!(key(&config, &[]), None);
        assert_eq!(key(&config, &[theirs]), None, "the agent does not say that it negotiates");
        assert_eq!(key(&config, &[ours, theirs]), told("ours"));
        config.capabilities.negotiation = true;
        assert_eq!(key(&config, &[theirs]), told("theirs"));
        assert_eq!(key(&config, &[ours, theirs]), told("ours"));
        config.negotiation =
            Some(NegotiationConfig { embedding_api_key: Some(Secret::from(" own\n")) });
        assert_eq!(key(&config, &[ours, theirs]), told("own"));
        assert_eq!(key(&config, &[ours, ("NEGOTIATION__USE_EMBEDDINGS", "false")]), None);
    }

    #[test]
    fn the_key_of_openrouter_is_for_openrouter() {
        let mut config = AgentConfig::new("a", "b");
        config.capabilities.negotiation = true;
        for elsewhere in ["https://llm.example.com/v1", "http://openrouter.ai/api/v1"] {
            let variables =
                [("OPENROUTER_API_KEY", "theirs"), ("NEGOTIATION__EMBEDDING_BASE_URL", elsewhere)];
            assert_eq!(key(&config, &variables), None, "{elsewhere}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused_and_what_is_odd_is_told() {
        let config = AgentConfig::new("a", "b");
        let refused = |variables: &[(&str, &str)]| {
            let settings = Settings::from_vars(variables.iter().copied()).expect("valid settings");
            Resolved::new(&config, &settings).expect_err("a refusal").to_string()
        };
        let bad_url = refused(&[("NEGOTIATION__EMBEDDING_BASE_URL", "nowhere")]);
        assert!(bad_url.starts_with("NEGOTIATION__EMBEDDING_BASE_URL has no scheme"), "{bad_url}");
        let bad_key = refused(&[("NEGOTIATION__EMBEDDING_API_KEY", "hunter 2")]);
        assert!(bad_key.contains("printable ASCII") && !bad_key.contains("hunter"), "{bad_key}");

        let told = resolved(
            &config,
            &[
                ("NEGOTIATION__EMBEDDING_API_KEY", "k"),
                ("NEGOTIATION__EMBEDDING_PROVIDER", "oracle"),
                ("NEGOTIATION__EMBEDDING_BASE_URL", "http://llm.example.com/v1"),
            ],
        )
        .warnings
        .join("\n");
        let parts = if cfg!(feature = "embeddings") {
            ["\"oracle\", which is not known", "in the clear"]
        } else {
            ["no `embeddings` feature", "judged by their words"]
        };
        assert!(parts.iter().all(|part| told.contains(part)), "{told}");
    }
}
