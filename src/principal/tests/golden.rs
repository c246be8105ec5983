//! Fixed cache keys: what is in a key, and what must not be in it. A change of words in messages, of
//! a type or of a module must not change one; an intended change raises the version of the list.

use super::*;

fn endpoint(region: &str) -> Endpoint {
    Endpoint {
        region: region.to_owned(),
        address: Address::OfRegion(Variant::default()),
    }
}

fn api() -> RegistryApi {
    RegistryApi {
        region: "eu-central-1".to_owned(),
        url: "https://api.ecr.eu-central-1.amazonaws.com".to_owned(),
        variant: Variant::default(),
    }
}

fn keys() -> AccessKeys {
    AccessKeys {
        access_key_id: "AKIAGOLDEN".to_owned(),
        secret_access_key: "sentinel".into(),
        session_token: None,
    }
}

/// One source of every kind.
fn sources() -> [Source; 8] {
    let login_file = PathBuf::from("/home/u/login.json");
    [
        Source::Environment(keys()),
        Source::Static {
            profile: "dev".to_owned(),
            keys: keys(),
        },
        Source::Process {
            profile: "dev".to_owned(),
            command: "sentinel".into(),
        },
        Source::Sso(Sso {
            profile: "dev".to_owned(),
            session: Some("corp".to_owned()),
            start_url: "https://example.awsapps.com/start".to_owned(),
            account_id: "123456789012".to_owned(),
            role_name: "Developer".to_owned(),
            portal: endpoint("eu-west-1"),
            oidc: endpoint("eu-west-1"),
            login_file: login_file.clone(),
        }),
        Source::Login(ConsoleLogin {
            profile: "dev".to_owned(),
            session_arn: "arn:aws:iam::123456789012:user/u".to_owned(),
            signin: endpoint("eu-west-1"),
            login_file,
        }),
        Source::WebIdentity(WebIdentity {
            profile: None,
            role_arn: ROLE.to_owned(),
            session_name: Some("build".to_owned()),
            token: "sentinel".into(),
            subject: Subject::of(&jwt(r#"{"iss":"i","sub":"s"}"#)),
            sts: endpoint("eu-west-1"),
        }),
        Source::Container(Container {
            uri: TASK.into(),
            relative: true,
            token: Some("sentinel".into()),
            token_file: None,
        }),
        Source::InstanceMetadata(InstanceMetadata::default()),
    ]
}

#[test]
fn cache_keys_are_these_whatever_messages_say() {
    let role = Role {
        profile: Some("dev".to_owned()),
        role_arn: ROLE.to_owned(),
        external_id: Some("e".to_owned()),
        session_name: Some("me".to_owned()),
        mfa_serial: Some("m".to_owned()),
        duration: Some(900),
        sts: endpoint("eu-west-1"),
    };
    let registry = registry(HOST);
    let api = api();
    let golden: Vec<_> = sources()
        .iter()
        .map(|source| {
            let roles = [role.clone()];
            let pinned = match cache_key::identity(&registry, &api, source, &roles) {
                Identity::Pinned(key) => key,
                Identity::Ambient => {
                    cache_key::ambient(&registry, &api, source, &roles, "ASIAGOLDEN")
                }
            };
            format!("{} {}", source.id(), &pinned.as_str()[..16])
        })
        .collect();
    assert_eq!(
        golden,
        [
            "environment c21cd4f991939202",
            "static 98158534e96ab161",
            "process c9ca1bf8f6c23637",
            "sso 4c9301034aa29a97",
            "login e631840564add523",
            "web-identity 971798c905c4f11e",
            "container 60a596bdca97b5d0",
            "instance-metadata e4c820c6b2aa2d92",
        ]
    );
}

#[test]
fn only_these_sources_are_pinned() {
    let api = api();
    let pinned: Vec<_> = sources()
        .iter()
        .filter(|source| {
            let identity = cache_key::identity(&registry(HOST), &api, source, &[]);
            identity != Identity::Ambient
        })
        .map(Source::id)
        .collect();
    let expected = [
        "environment",
        "static",
        "sso",
        "login",
        "web-identity",
        "container",
    ];
    assert_eq!(pinned, expected);
}
