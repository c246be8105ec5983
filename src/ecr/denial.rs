//! IAM's sentence about a denied request: the principal, the action and the policy. They are only in
//! the text of the message, which is parsed here and nowhere else. AWS lists its forms in the IAM
//! User Guide, "Troubleshoot access denied error messages".

/// The parts of the sentence that were recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Denial<'a> {
    /// The ARN of the principal.
    pub(crate) principal: Option<&'a str>,
    /// The action, with the prefix of its service.
    pub(crate) action: Option<&'a str>,
    /// Why it was denied.
    pub(crate) reason: DenialReason<'a>,
}

/// Why a request was denied. A kind of policy is named without an article.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DenialReason<'a> {
    /// A statement denies it; the kind of policy, if it is named.
    Explicit(Option<&'a str>),
    /// No policy of this kind allows it.
    NotAllowedBy(&'a str),
    /// The sentence gives no reason, or one that is not recognised.
    Unknown,
}

impl<'a> Denial<'a> {
    /// Reads the message of a response.
    pub(crate) fn parse(message: &'a str) -> Self {
        let after = |mark: &str| message.split_once(mark).map(|(_, rest)| rest);
        let word = |text: &'a str| text.split([' ', ',']).next().unwrap_or(text);
        let principal = after("User: ").map(word);
        let action = after("to perform: ").map(word);
        Self {
            principal: principal.filter(|arn| arn.starts_with("arn:")),
            action: action
                .map(|action| action.trim_end_matches(['.', ':']))
                .filter(|action| action.contains(':')),
            reason: DenialReason::parse(message),
        }
    }
}

impl<'a> DenialReason<'a> {
    /// The reason as a part of a sentence; empty if it is unknown.
    pub(crate) fn shown(self) -> String {
        match self {
            Self::Explicit(Some(policy)) => {
                let article = match policy.starts_with(['a', 'e', 'i', 'o', 'u']) {
                    true => "an",
                    false => "a",
                };
                format!("explicit deny in {article} {policy}")
            }
            Self::Explicit(None) => "explicit deny".to_owned(),
            Self::NotAllowedBy(policy) => format!("no {policy} allows it"),
            Self::Unknown => String::new(),
        }
    }

    fn parse(message: &'a str) -> Self {
        if let Some((_, rest)) = message.split_once("with an explicit deny") {
            let policy = rest.strip_prefix(" in ").map(|policy| {
                let policy = policy.strip_prefix("an ").unwrap_or(policy);
                let policy = policy.strip_prefix("a ").unwrap_or(policy);
                // The policy's ARN may follow.
                policy.split([':', '.']).next().unwrap_or(policy)
            });
            return Self::Explicit(policy);
        }
        let not_allowed = message
            .split_once(" because no ")
            .and_then(|(_, rest)| rest.split_once(" allows "));
        match not_allowed {
            Some((policy, _)) => Self::NotAllowedBy(policy),
            None => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USER: &str = "arn:aws:iam::123456789012:user/u";

    #[test]
    fn sentences_of_the_guide_are_understood() {
        use DenialReason::{Explicit, NotAllowedBy, Unknown};
        for (end, reason) in [
            ("", Unknown),
            (
                " because no identity-based policy allows the ecr:A action",
                NotAllowedBy("identity-based policy"),
            ),
            (
                " because no resource-based policy allows the ecr:A action",
                NotAllowedBy("resource-based policy"),
            ),
            (
                " because no permissions boundary allows the ecr:A action",
                NotAllowedBy("permissions boundary"),
            ),
            (
                " because no session policy allows the ecr:A action",
                NotAllowedBy("session policy"),
            ),
            (
                " because no VPC endpoint policy allows the ecr:A action",
                NotAllowedBy("VPC endpoint policy"),
            ),
            (
                " because no service control policy allows the ecr:A action",
                NotAllowedBy("service control policy"),
            ),
            (" with an explicit deny", Explicit(None)),
            (
                " with an explicit deny in an identity-based policy",
                Explicit(Some("identity-based policy")),
            ),
            (
                " with an explicit deny in a resource control policy",
                Explicit(Some("resource control policy")),
            ),
            (
                " with an explicit deny in a service control policy: arn:aws:organizations::1:policy/p",
                Explicit(Some("service control policy")),
            ),
        ] {
            for resource in [" on resource: *", ""] {
                let message =
                    format!("User: {USER} is not authorized to perform: ecr:A{resource}{end}");
                let expected = Denial {
                    principal: Some(USER),
                    action: Some("ecr:A"),
                    reason,
                };
                assert_eq!(Denial::parse(&message), expected, "{message}");
            }
        }
    }

    #[test]
    fn other_words_say_nothing() {
        for message in [
            "",
            "no",
            "User: x is not authorized to perform: this",
            "Access Denied",
        ] {
            let expected = Denial {
                principal: None,
                action: None,
                reason: DenialReason::Unknown,
            };
            assert_eq!(Denial::parse(message), expected, "{message}");
        }
    }
}
