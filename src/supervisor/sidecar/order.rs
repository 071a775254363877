//! In which order sidecars start, and what keeps them from having one.

use std::collections::BTreeSet;

use super::{SidecarName, SidecarSpec};

/// What is wrong with sidecars that are right one by one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Tangle {
    /// Two have one name.
    #[error("there are two sidecars called {name}")]
    Twice {
        /// The name.
        name: SidecarName,
    },
    /// A built-in part has that name.
    #[error("{name} is a part of falco's own; call the sidecar something else")]
    Reserved {
        /// The name.
        name: SidecarName,
    },
    /// One comes after something that does not exist.
    #[error("{name} comes after {after}, and there is nothing called {after}")]
    Unknown {
        /// Who.
        name: SidecarName,
        /// After what.
        after: SidecarName,
    },
    /// They wait for each other.
    #[error("{} wait for each other", list(.names))]
    Circle {
        /// Everybody who can never start.
        names: Vec<SidecarName>,
    },
}

impl Tangle {
    /// The sidecar to blame.
    #[must_use]
    pub fn name(&self) -> &SidecarName {
        match self {
            Self::Twice { name } | Self::Reserved { name } | Self::Unknown { name, .. } => name,
            Self::Circle { names } => &names[0],
        }
    }
}

fn list(names: &[SidecarName]) -> String {
    let names: Vec<&str> = names.iter().map(SidecarName::as_str).collect();
    names.join(", ")
}

/// The sidecars so that each comes behind everything it comes `after`, and
/// otherwise as they were given; `built_in` names what is there besides.
///
/// # Errors
///
/// See [`Tangle`].
pub fn in_order(specs: Vec<SidecarSpec>, built_in: &[&str]) -> Result<Vec<SidecarSpec>, Tangle> {
    let mut names = BTreeSet::new();
    for SidecarSpec { name, .. } in &specs {
        if built_in.contains(&name.as_str()) {
            return Err(Tangle::Reserved { name: name.clone() });
        }
        if !names.insert(name.clone()) {
            return Err(Tangle::Twice { name: name.clone() });
        }
    }
    for SidecarSpec { name, after, .. } in &specs {
        let known = |on: &&SidecarName| names.contains(*on) || built_in.contains(&on.as_str());
        if let Some(after) = after.iter().find(|on| !known(on)) {
            let (name, after) = (name.clone(), after.clone());
            return Err(Tangle::Unknown { name, after });
        }
    }
    untangle(specs, names)
}

fn untangle(
    mut waiting: Vec<SidecarSpec>,
    mut unplaced: BTreeSet<SidecarName>,
) -> Result<Vec<SidecarSpec>, Tangle> {
    let mut placed = Vec::new();
    while !waiting.is_empty() {
        let free = |spec: &SidecarSpec| spec.after.iter().all(|on| !unplaced.contains(on));
        let Some(at) = waiting.iter().position(free) else {
            let names = waiting.into_iter().map(|spec| spec.name).collect();
            return Err(Tangle::Circle { names });
        };
        let spec = waiting.remove(at);
        unplaced.remove(&spec.name);
        placed.push(spec);
    }
    Ok(placed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> SidecarName {
        text.to_owned().try_into().unwrap()
    }

    fn spec(called: &str, after: &[&str]) -> SidecarSpec {
        SidecarSpec {
            after: after.iter().map(|on| name(on)).collect(),
            ..SidecarSpec::new(name(called), "true")
        }
    }

    #[test]
    fn each_comes_behind_what_it_comes_after_and_otherwise_as_given() {
        let specs = vec![
            spec("c", &["b", "falco"]),
            spec("a", &[]),
            spec("b", &["a"]),
            spec("d", &[]),
        ];
        let ordered = in_order(specs, &["falco"]).unwrap();
        let names: Vec<_> = ordered.iter().map(|s| s.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d"]);
    }

    #[test]
    fn what_can_never_start_is_named() {
        let wrong = |specs| in_order(specs, &["falco"]).unwrap_err().to_string();
        let circle = vec![spec("a", &["b"]), spec("b", &["a"]), spec("c", &[])];
        assert_eq!(wrong(circle), "a, b wait for each other");
        assert_eq!(
            wrong(vec![spec("a", &["x"])]),
            "a comes after x, and there is nothing called x"
        );
        assert!(wrong(vec![spec("falco", &[])]).starts_with("falco is a part"));
        assert!(wrong(vec![spec("a", &[]), spec("a", &[])]).starts_with("there are two"));
    }
}
