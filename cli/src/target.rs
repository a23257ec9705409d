//! From what a user types (a kind, a name or an id) to a collection and one resource.

use anyhow::{Context as _, bail};
use hyperfleet_api_types::Resource;
use hyperfleet_api_types::client::{Client, Collection, Credentials};
use hyperfleet_domain::Registry;

use crate::arguments::{ServerArguments, TargetArguments};

/// Short names that kubectl users would try, beside singular and plural.
const SHORT_NAMES: &[(&str, &str)] = &[("cl", "clusters"), ("np", "nodepools")];

/// A kind as the API addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The name in documents; the plural itself when only the server knows the kind.
    pub(crate) name: String,
    pub(crate) plural: String,
    /// Plural of the parent kind, if it has one.
    pub(crate) parent_plural: Option<String>,
}

impl Kind {
    /// Resolves singular, plural, short name and the document's `kind`. A word that is none of a built-in
    /// kind's names is taken for the plural of a kind that the server has registered.
    pub(crate) fn resolve(word: &str) -> Self {
        let registry = Registry::builtin();
        let lower = word.to_lowercase();
        let plural = SHORT_NAMES
            .iter()
            .find(|(short, _)| *short == lower)
            .map_or(lower.as_str(), |(_, plural)| plural);
        let descriptor = registry.iter().find(|descriptor| {
            descriptor.plural == plural || descriptor.kind.to_lowercase() == plural
        });
        let Some(descriptor) = descriptor else {
            return Self {
                name: word.to_owned(),
                plural: lower,
                parent_plural: None,
            };
        };
        let parent_plural = descriptor
            .parent_kind
            .as_deref()
            .and_then(|parent| registry.by_kind(parent))
            .map(|parent| parent.plural.clone());
        Self {
            name: descriptor.kind.clone(),
            plural: descriptor.plural.clone(),
            parent_plural,
        }
    }

    fn all(&self) -> Collection {
        Collection::of(&self.plural)
    }
}

/// Connects to the API that the user named, as whom the user said.
pub(crate) fn client(server: &ServerArguments) -> anyhow::Result<Client> {
    let mut credentials = Credentials::default();
    for (name, value) in &server.headers {
        credentials = credentials.header(name, value);
    }
    if let Some(token) = &server.token {
        credentials = credentials.token(token);
    }
    if let Some(file) = &server.token_file {
        let token = std::fs::read_to_string(file)
            .with_context(|| format!("cannot read the token from {}", file.display()))?;
        credentials = credentials.token(token);
    }
    Ok(Client::with(&server.server, &credentials)?)
}

/// The collection of a kind: everywhere, or below the parent that the user named.
pub(crate) async fn collection(
    client: &Client,
    kind: &Kind,
    parent: Option<&str>,
) -> anyhow::Result<Collection> {
    let Some(parent) = parent else {
        return Ok(kind.all());
    };
    let Some(parent_plural) = &kind.parent_plural else {
        bail!("{} belong to nothing; leave out --cluster", kind.plural);
    };
    let parent = resource(
        client,
        &Kind::resolve(parent_plural),
        &Collection::of(parent_plural),
        parent,
    )
    .await?;
    Ok(Collection::under(parent_plural, parent.id, &kind.plural))
}

/// Finds one resource by name or id. An active resource wins over a finalizing one of the same name.
pub(crate) async fn resource(
    client: &Client,
    kind: &Kind,
    collection: &Collection,
    name_or_id: &str,
) -> anyhow::Result<Resource> {
    if is_id(name_or_id) {
        return client
            .get(collection, name_or_id)
            .await
            .with_context(|| format!("cannot get {} {name_or_id}", kind.name));
    }
    let mut found = client
        .find_by_name(collection, name_or_id)
        .await
        .with_context(|| format!("cannot look up {} {name_or_id:?}", kind.name))?;
    let active = found
        .iter()
        .filter(|resource| resource.deleted_time.is_none())
        .count();
    match (found.len(), active) {
        (0, _) => bail!("{} {name_or_id:?} not found", kind.name),
        (1, _) | (_, 1) => Ok(found.swap_remove(0)),
        _ => {
            let ids: Vec<&str> = found.iter().map(|resource| resource.id.as_str()).collect();
            bail!(
                "several {} are named {name_or_id:?}; name one by id ({}){}",
                kind.plural,
                ids.join(", "),
                kind.parent_plural
                    .as_ref()
                    .map_or("", |_| " or say --cluster")
            )
        }
    }
}

/// Finds the resource that the target arguments name, with its kind and collection.
pub(crate) async fn locate(
    client: &Client,
    target: &TargetArguments,
) -> anyhow::Result<(Kind, Collection, Resource)> {
    let kind = Kind::resolve(&target.kind);
    let collection = collection(client, &kind, target.cluster.as_deref()).await?;
    let resource = resource(client, &kind, &collection, &target.name).await?;
    Ok((kind, collection, resource))
}

/// Whether a word has the form of a resource id: a UUID with hyphens. Names may have that form too, but
/// the API gives ids this form alone, so an id wins.
pub(crate) fn is_id(word: &str) -> bool {
    word.len() == 36
        && word.char_indices().all(|(index, character)| match index {
            8 | 13 | 18 | 23 => character == '-',
            _ => character.is_ascii_hexdigit(),
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_is_found_by_each_of_its_names() {
        for word in ["cluster", "clusters", "Cluster", "cl"] {
            assert_eq!(Kind::resolve(word).plural, "clusters", "{word}");
        }
        for word in ["nodepool", "nodepools", "NodePool", "np"] {
            assert_eq!(
                Kind::resolve(word).parent_plural.as_deref(),
                Some("clusters"),
                "{word}"
            );
        }
    }

    #[test]
    fn an_unknown_kind_is_taken_for_a_plural_of_the_server() {
        assert_eq!(Kind::resolve("Channels").plural, "channels");
    }

    #[test]
    fn ids_and_names_are_told_apart() {
        assert!(is_id("019234ab-0000-7000-8000-000000000001"));
        assert!(!is_id("demo-eu-1"));
    }
}
