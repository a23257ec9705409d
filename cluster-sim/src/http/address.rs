//! Paths of the Kubernetes API.

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Healthy,
    Version,
    /// `/api`
    Core,
    /// `/apis`
    Groups,
    /// `/apis/{group}`
    Group(String),
    /// `/api/v1` (with an empty group) and `/apis/{group}/{version}`
    GroupVersion(String, String),
    Resource(Resource),
}

/// A collection (without name), an object, or a subresource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Resource {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Address {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let segments: Vec<String> = path
            .split('/')
            .filter(|segment| !segment.is_empty())
            .map(decode)
            .collect::<Option<_>>()?;
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["healthz" | "livez" | "readyz", ..] => Some(Self::Healthy),
            ["version"] => Some(Self::Version),
            ["api"] => Some(Self::Core),
            ["apis"] => Some(Self::Groups),
            ["apis", group] => Some(Self::Group((*group).into())),
            ["api", version] => Some(Self::GroupVersion(String::new(), (*version).into())),
            ["apis", group, version] => {
                Some(Self::GroupVersion((*group).into(), (*version).into()))
            }
            ["api", version, rest @ ..] => resource("", version, rest).map(Self::Resource),
            ["apis", group, version, rest @ ..] => {
                resource(group, version, rest).map(Self::Resource)
            }
            _ => None,
        }
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Option<Resource> {
    let base = Resource {
        group: group.into(),
        version: version.into(),
        ..Resource::default()
    };
    let (namespace, rest) = match rest {
        // Below a namespace, except for the namespace object's own subresources.
        ["namespaces", _, "status" | "finalize"] => ("", rest),
        ["namespaces", namespace, inner @ ..] if !inner.is_empty() => (*namespace, inner),
        _ => ("", rest),
    };
    let (plural, name, subresource) = match rest {
        [plural] => (*plural, "", ""),
        [plural, name] => (*plural, *name, ""),
        [plural, name, subresource] => (*plural, *name, *subresource),
        _ => return None,
    };
    Some(Resource {
        namespace: namespace.into(),
        plural: plural.into(),
        name: name.into(),
        subresource: subresource.into(),
        ..base
    })
}

/// Decodes `%XX`.
fn decode(segment: &str) -> Option<String> {
    if !segment.contains('%') {
        return Some(segment.to_owned());
    }
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes().iter();
    while let Some(byte) = rest.next() {
        if *byte == b'%' {
            let high = char::from(*rest.next()?).to_digit(16)?;
            let low = char::from(*rest.next()?).to_digit(16)?;
            bytes.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            bytes.push(*byte);
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::{Address, Resource};

    fn parts(path: &str) -> [String; 6] {
        match Address::parse(path) {
            Some(Address::Resource(Resource {
                group,
                version,
                namespace,
                plural,
                name,
                subresource,
            })) => [group, version, namespace, plural, name, subresource],
            other => panic!("{path} is {other:?}"),
        }
    }

    #[test]
    fn resources() {
        for (path, expected) in [
            ("/api/v1/pods", ["", "v1", "", "pods", "", ""]),
            ("/api/v1/namespaces", ["", "v1", "", "namespaces", "", ""]),
            (
                "/api/v1/namespaces/a",
                ["", "v1", "", "namespaces", "a", ""],
            ),
            (
                "/api/v1/namespaces/a/status",
                ["", "v1", "", "namespaces", "a", "status"],
            ),
            ("/api/v1/namespaces/a/pods", ["", "v1", "a", "pods", "", ""]),
            (
                "/apis/batch/v1/namespaces/a/jobs/b/status",
                ["batch", "v1", "a", "jobs", "b", "status"],
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system%3Aa",
                [
                    "rbac.authorization.k8s.io",
                    "v1",
                    "",
                    "clusterroles",
                    "system:a",
                    "",
                ],
            ),
        ] {
            assert_eq!(parts(path), expected.map(str::to_owned), "{path}");
        }
    }

    #[test]
    fn discovery_and_nonsense() {
        assert_eq!(
            Address::parse("/api/v1"),
            Some(Address::GroupVersion(String::new(), "v1".into()))
        );
        assert_eq!(
            Address::parse("/apis/apps"),
            Some(Address::Group("apps".into()))
        );
        for path in [
            "/",
            "/metrics",
            "/api/v1/namespaces/a/pods/b/log/c",
            "/api/v1/pods/%zz",
        ] {
            assert_eq!(Address::parse(path), None, "{path}");
        }
    }
}
