//! From what a user types (a kind, a name or an id) to a collection and one resource.

use anyhow::{Context as _, bail};
use hyperfleet_api_types::client::{Client, Collection, Credentials};
use hyperfleet_api_types::{BASE_PATH, Resource};
use hyperfleet_domain::Registry;
use serde_json::Value;

use crate::arguments::{ServerArguments, TargetArguments};

/// Short names that kubectl users would try, beside singular and plural.
const SHORT_NAMES: &[(&str, &str)] = &[("cl", "clusters"), ("np", "nodepools")];

/// A kind as the API addresses it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kind {
    /// The name in documents.
    pub(crate) name: String,
    pub(crate) plural: String,
    /// Plural of the parent kind, if it has one.
    pub(crate) parent_plural: Option<String>,
}

impl Kind {
    /// Finds a kind by singular, plural, short name or the document's `kind`: a built-in one at once, any
    /// other in the server's own description of its routes.
    ///
    /// # Errors
    /// When the server cannot be asked, or has no such kind; the error lists those that it has.
    pub(crate) async fn resolve(client: &Client, word: &str) -> anyhow::Result<Self> {
        if let Some(kind) = Self::builtin(word) {
            return Ok(kind);
        }
        let mut kinds = Self::all_of(client)
            .await
            .with_context(|| format!("cannot ask the server which kind {word:?} is"))?;
        let Some(at) = kinds.iter().position(|kind| kind.is_named(word)) else {
            let plurals: Vec<&str> = kinds.iter().map(|kind| kind.plural.as_str()).collect();
            bail!(
                "the server has no kind {word:?}; it has {}",
                plurals.join(", ")
            );
        };
        Ok(kinds.swap_remove(at))
    }

    /// Finds a kind that every server has unless it is configured otherwise.
    pub(crate) fn builtin(word: &str) -> Option<Self> {
        let registry = Registry::builtin();
        let lower = word.to_lowercase();
        let word = SHORT_NAMES
            .iter()
            .find(|(short, _)| *short == lower)
            .map_or(word, |(_, plural)| plural);
        let mut kinds = registry.iter().map(|descriptor| Self {
            name: descriptor.kind.clone(),
            plural: descriptor.plural.clone(),
            parent_plural: descriptor
                .parent_kind
                .as_deref()
                .and_then(|parent| registry.by_kind(parent))
                .map(|parent| parent.plural.clone()),
        });
        kinds.find(|kind| kind.is_named(word))
    }

    /// The kinds that this one owns, as the server has them.
    ///
    /// # Errors
    /// When the server cannot be asked.
    pub(crate) async fn children(&self, client: &Client) -> anyhow::Result<Vec<Self>> {
        let mut kinds = Self::all_of(client)
            .await
            .context("cannot ask the server for its kinds")?;
        kinds.retain(|kind| kind.parent_plural.as_deref() == Some(&self.plural));
        Ok(kinds)
    }

    async fn all_of(client: &Client) -> anyhow::Result<Vec<Self>> {
        Ok(Self::described(&client.document(&["openapi"]).await?))
    }

    fn is_named(&self, word: &str) -> bool {
        self.plural.eq_ignore_ascii_case(word) || self.name.eq_ignore_ascii_case(word)
    }

    /// The kinds that an `OpenAPI` document describes: whatever can be created at `/PLURAL`, or below a
    /// parent.
    fn described(document: &Value) -> Vec<Self> {
        let mut kinds = Vec::new();
        let mut parents = Vec::new();
        for (path, item) in document["paths"].as_object().into_iter().flatten() {
            let Some(rest) = path.strip_prefix(BASE_PATH) else {
                continue;
            };
            let segments: Vec<&str> = rest.split('/').skip(1).collect();
            match (segments.as_slice(), item["post"]["tags"][0].as_str()) {
                // Every kind is served there, so it is none.
                (["resources"], _) => {}
                ([plural], Some(kind)) => kinds.push(Self {
                    name: kind.to_owned(),
                    plural: (*plural).to_owned(),
                    parent_plural: None,
                }),
                ([parent, "{parent_id}", plural], Some(_)) => {
                    parents.push(((*plural).to_owned(), (*parent).to_owned()));
                }
                _ => {}
            }
        }
        for kind in &mut kinds {
            let parent = parents.iter().find(|(plural, _)| *plural == kind.plural);
            kind.parent_plural = parent.map(|(_, parent)| parent.clone());
        }
        kinds
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
        bail!("{} belong to nothing; leave out --parent", kind.plural);
    };
    let parent = resource(
        client,
        &Kind::resolve(client, parent_plural).await?,
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
                    .map_or("", |_| " or say --parent")
            )
        }
    }
}

/// Finds the resource that the target arguments name, with its kind and collection.
pub(crate) async fn locate(
    client: &Client,
    target: &TargetArguments,
) -> anyhow::Result<(Kind, Collection, Resource)> {
    let kind = Kind::resolve(client, &target.kind).await?;
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
    use serde_json::json;

    use super::*;

    #[test]
    fn a_built_in_kind_is_found_by_each_of_its_names() {
        for word in ["cluster", "clusters", "Cluster", "cl"] {
            let kind = Kind::builtin(word).expect(word);
            assert_eq!(
                (kind.plural.as_str(), kind.parent_plural),
                ("clusters", None)
            );
        }
        for word in ["nodepool", "nodepools", "NodePool", "np"] {
            let kind = Kind::builtin(word).expect(word);
            assert_eq!(kind.parent_plural.as_deref(), Some("clusters"), "{word}");
        }
        assert_eq!(Kind::builtin("gadget"), None);
    }

    #[test]
    fn the_servers_document_tells_its_kinds() {
        let post = |kind: &str| json!({"get": {}, "post": {"tags": [kind]}});
        let document = json!({"paths": {
            "/api/hyperfleet": {"get": {}},
            "/api/hyperfleet/v1/openapi": {"get": {"tags": ["API"]}},
            "/api/hyperfleet/v1/resources": post("Resource"),
            "/api/hyperfleet/v1/gadgets": post("Gadget"),
            "/api/hyperfleet/v1/gadgets/{id}": {"patch": {"tags": ["Gadget"]}},
            "/api/hyperfleet/v1/gadgets/{id}/force-delete": post("Gadget"),
            "/api/hyperfleet/v1/gadgets/{parent_id}/big-wheels": post("BigWheel"),
            "/api/hyperfleet/v1/big-wheels": post("BigWheel"),
        }});
        let kinds = Kind::described(&document);
        let kind = |name: &str, plural: &str, parent: Option<&str>| Kind {
            name: name.to_owned(),
            plural: plural.to_owned(),
            parent_plural: parent.map(str::to_owned),
        };
        let wheels = kind("BigWheel", "big-wheels", Some("gadgets"));
        assert_eq!(kinds.len(), 2);
        assert!(kinds.contains(&wheels) && kinds.contains(&kind("Gadget", "gadgets", None)));
        assert!(wheels.is_named("bigwheel") && wheels.is_named("Big-Wheels"));
    }

    #[test]
    fn ids_and_names_are_told_apart() {
        assert!(is_id("019234ab-0000-7000-8000-000000000001"));
        assert!(!is_id("demo-eu-1"));
    }
}
