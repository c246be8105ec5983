//! Which sources of credentials a plan does not use, and why: for `doctor`.

use super::{Plan, Selection, Source, Surroundings};

impl Surroundings {
    /// The sources that the plan does not use, in the order of the AWS CLI, each with the reason.
    pub fn skipped_sources(&self, plan: &Plan, selection: &Selection) -> Vec<String> {
        let set = |name: &str| self.env.var(name).is_some();
        let first = first_of(plan, selection);
        let because = |is_set: bool, variable: &str| match is_set {
            true => first.clone(),
            false => format!("no {variable}"),
        };
        let is_own = plan.profile.is_none();
        let mut skipped = Vec::new();
        let mut skip = |used: bool, source: &str, why: String| {
            if !used {
                skipped.push(format!("{source} ({why})"));
            }
        };
        skip(
            is_own && matches!(plan.source, Source::Environment(_)),
            "environment variables",
            because(set("AWS_ACCESS_KEY_ID"), "AWS_ACCESS_KEY_ID"),
        );
        skip(
            is_own && matches!(plan.source, Source::WebIdentity(_)),
            "web identity",
            because(
                set("AWS_WEB_IDENTITY_TOKEN_FILE"),
                "AWS_WEB_IDENTITY_TOKEN_FILE",
            ),
        );
        let selected = self.named_profile().map(|(name, _)| name);
        let selected = selected.unwrap_or_else(|| "default".to_owned());
        let config = self.config().ok();
        let section = config.and_then(|config| config.profile(&selected).ok().flatten());
        let why = match (&plan.source, section) {
            (_, None) => "no such profile",
            // The two that come before a profile.
            (Source::Environment(_) | Source::WebIdentity(_), Some(_)) => &first,
            (_, Some(_)) => "no credentials in it",
        };
        skip(!is_own, &format!("profile {selected:?}"), why.to_owned());
        let container = [
            "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
        ];
        skip(
            matches!(plan.source, Source::Container(_)),
            "container credentials",
            because(container.into_iter().any(set), container[0]),
        );
        let why = match self.metadata_disabled() {
            true => "AWS_EC2_METADATA_DISABLED is true".to_owned(),
            false => first.clone(),
        };
        skip(
            matches!(plan.source, Source::InstanceMetadata(_)),
            "instance metadata",
            why,
        );
        skipped
    }
}

/// The source that comes before one that is set and not used.
fn first_of(plan: &Plan, selection: &Selection) -> String {
    match (&selection.profile, &plan.profile) {
        (Some(profile), _) => format!("{} names a profile", profile.named_by),
        (None, Some(profile)) => format!("profile {profile:?} comes first"),
        (None, None) => match &plan.source {
            Source::Environment(_) => "environment variables come first".to_owned(),
            source => format!("{} comes first", source.describe()),
        },
    }
}

#[cfg(test)]
mod tests {
    use crate::env::{Env, HOME};
    use crate::log::Log;
    use crate::principal::{Named, plan};
    use crate::registry::Registry;

    use super::*;

    #[test]
    fn skipped_sources_have_their_reasons() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config");
        let keys = "aws_access_key_id = AKIAX\naws_secret_access_key = s\n";
        let text = format!("[profile p]\n{keys}[default]\nregion = eu-west-1\n");
        std::fs::write(&file, text).expect("writable");
        let file = file.to_str().expect("UTF-8");
        let keys = [
            ("AWS_ACCESS_KEY_ID", "AKIAX"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
        ];
        let skipped = |vars: &[(&str, &str)], profile: Option<&str>| {
            let vars = vars.iter().copied();
            let env = Env::of(vars.chain([("AWS_CONFIG_FILE", file), (HOME, "/none")]));
            let surroundings = Surroundings::read(&env, Log::off());
            let host = "123456789012.dkr.ecr.us-east-1.amazonaws.com";
            let registry = Registry::from_server_url(host).expect("ECR's");
            let selection = Selection {
                profile: profile.map(|profile| Named {
                    value: profile.to_owned(),
                    named_by: "AWS_ECR_PROFILE".to_owned(),
                }),
                ..Selection::default()
            };
            let plan = plan(&surroundings, &registry, &selection).expect("a plan");
            surroundings.skipped_sources(&plan, &selection).join("; ")
        };
        assert_eq!(
            skipped(
                &[("AWS_PROFILE", "p"), ("AWS_EC2_METADATA_DISABLED", "true")],
                None
            ),
            "environment variables (no AWS_ACCESS_KEY_ID); \
             web identity (no AWS_WEB_IDENTITY_TOKEN_FILE); \
             container credentials (no AWS_CONTAINER_CREDENTIALS_RELATIVE_URI); \
             instance metadata (AWS_EC2_METADATA_DISABLED is true)"
        );
        assert!(skipped(&keys, None).starts_with(
            "web identity (no AWS_WEB_IDENTITY_TOKEN_FILE); \
             profile \"default\" (environment variables come first); container"
        ));
        assert!(
            skipped(&keys, Some("p")).starts_with(
                "environment variables (AWS_ECR_PROFILE names a profile); web identity"
            )
        );
        let metadata = skipped(&[], None);
        assert!(
            metadata.contains("profile \"default\" (no credentials in it)"),
            "{metadata}"
        );
    }
}
