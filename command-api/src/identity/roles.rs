//! Roles, and what each permits.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What a caller may be allowed to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Permission {
    /// Read resources, their statuses, their history, and counts over them.
    Read,
    /// Create, change and delete resources.
    Write,
    /// Report what an adapter found.
    WriteStatuses,
    /// Remove a resource without waiting for its adapters.
    ForceDelete,
    /// Operate the control plane: replay, dead letters, and the like.
    Operate,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 5] = [
        Self::Read,
        Self::Write,
        Self::WriteStatuses,
        Self::ForceDelete,
        Self::Operate,
    ];

    /// The permission as refusals and the documentation name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Read => "resources:read",
            Self::Write => "resources:write",
            Self::WriteStatuses => "statuses:write",
            Self::ForceDelete => "resources:force-delete",
            Self::Operate => "operations:manage",
        }
    }

    /// The roles that permit it, from least to most.
    pub fn granting_roles(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| role.permits(self))
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// A named set of permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads everything.
    Viewer,
    /// Also creates, changes and deletes.
    Editor,
    /// Reads, and reports statuses.
    Adapter,
    /// An editor who may also force deletions and operate the control plane.
    Operator,
    /// Everything.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Editor,
        Self::Adapter,
        Self::Operator,
        Self::Admin,
    ];

    /// The role as configuration and refusals name it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Editor => "editor",
            Self::Adapter => "adapter",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }

    /// Whether the role permits something.
    pub fn permits(self, permission: Permission) -> bool {
        match permission {
            Permission::Read => true,
            Permission::Write => matches!(self, Self::Editor | Self::Operator | Self::Admin),
            Permission::WriteStatuses => matches!(self, Self::Adapter | Self::Admin),
            Permission::ForceDelete | Permission::Operate => {
                matches!(self, Self::Operator | Self::Admin)
            }
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Names, separated by commas.
pub(super) fn names(roles: impl IntoIterator<Item = Role>) -> String {
    let names: Vec<&str> = roles.into_iter().map(Role::name).collect();
    names.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_permits_what_it_is_for() {
        let permitted = |role: Role| {
            let all = Permission::ALL.into_iter();
            all.filter(|permission| role.permits(*permission))
                .map(Permission::name)
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(permitted(Role::Viewer), "resources:read");
        assert_eq!(permitted(Role::Editor), "resources:read resources:write");
        assert_eq!(permitted(Role::Adapter), "resources:read statuses:write");
        assert_eq!(
            permitted(Role::Operator),
            "resources:read resources:write resources:force-delete operations:manage"
        );
        assert_eq!(
            permitted(Role::Admin),
            "resources:read resources:write statuses:write resources:force-delete operations:manage"
        );
    }
}
