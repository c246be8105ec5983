//! The file `~/.aws/ecr-login`: which principal it selects, shown by the access key that signed
//! each request, and what it never does.

use serde_json::{Value, json};

use crate::support::fake::Fake;
use crate::support::run::{Helper, KEY_ID, NOT_FOUND, Output, SECRET_KEY, echo};

pub const HOST: &str = "111122223333.dkr.ecr.us-east-1.amazonaws.com";
pub const OTHER: &str = "444455556666.dkr.ecr.us-east-1.amazonaws.com";
pub const OWN: &str = "registry.example.com";
pub const FILE: &str = "~/.aws/ecr-login";
pub const ROLE: &str = "arn:aws:iam::111122223333:role/ecr-pull";

/// Profiles of every kind of source.
fn config() -> String {
    let keys = |name: &str, id: &str| {
        format!("[profile {name}]\naws_access_key_id={id}\naws_secret_access_key={SECRET_KEY}\n")
    };
    let answer = json!({
        "Version": 1, "AccessKeyId": "AKIAFAKEPROCESS00001", "SecretAccessKey": SECRET_KEY,
    });
    [
        keys("prod", "AKIAFAKEPROD00000001"),
        keys("tools", "AKIAFAKETOOLS0000001"),
        keys("unrelated", "AKIAFAKEUNRELATED001"),
        format!(
            "[profile process]\ncredential_process={}\n",
            echo(&answer.to_string())
        ),
        "[profile role]\nrole_arn=arn:aws:iam::111122223333:role/dev\nsource_profile=prod\n".into(),
        "[profile environment]\nrole_arn=arn:aws:iam::111122223333:role/dev\n\
         credential_source=Environment\n"
            .into(),
        "[profile sso]\nsso_session=corp\nsso_account_id=111122223333\nsso_role_name=Dev\n\
         [sso-session corp]\nsso_region=us-east-1\nsso_start_url=https://example.awsapps.com/start\n"
            .into(),
        "[profile empty]\nregion=us-east-1\n".into(),
    ]
    .concat()
}

/// A user whose environment names other identities in two ways.
pub fn user(fake: &Fake, rules: &str) -> Helper {
    let helper = Helper::with_keys(fake).env("AWS_PROFILE", "unrelated");
    helper
        .file("~/.aws/config", config())
        .sso_login("corp", 3600)
        .file(FILE, rules)
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Client {
    Docker,
    Bazel,
    Kubelet,
}

pub const CLIENTS: [Client; 3] = [Client::Docker, Client::Bazel, Client::Kubelet];

impl Client {
    pub fn get(self, helper: &Helper, host: &str) -> Output {
        match self {
            Self::Docker => helper.get(host),
            Self::Bazel => {
                let uri = json!({ "uri": format!("https://{host}/v2/") });
                helper.run_of("get").stdin(uri.to_string()).run()
            }
            Self::Kubelet => {
                let request = json!({
                    "apiVersion": "credentialprovider.kubelet.k8s.io/v1",
                    "kind": "CredentialProviderRequest",
                    "image": format!("{host}/team/app:1"),
                });
                helper.run_of("kubelet").stdin(request.to_string()).run()
            }
        }
    }

    #[track_caller]
    fn succeeds(self, helper: &Helper, host: &str) {
        let output = self.get(helper, host);
        assert_eq!(
            (output.code, &*output.stderr),
            (Some(0), ""),
            "{self:?} {output:?}"
        );
        let answer: Value = serde_json::from_str(&output.stdout).expect("JSON");
        match self {
            Self::Docker => assert_eq!(answer["ServerURL"], host),
            Self::Bazel => assert!(
                answer["headers"]["Authorization"][0].is_string(),
                "{answer}"
            ),
            Self::Kubelet => assert!(answer["auth"][host]["password"].is_string(), "{answer}"),
        }
    }
}

/// The signer of the last request to ECR, and the assumed roles, each with its signer.
pub fn signers(fake: &Fake) -> (String, Vec<(String, String)>) {
    let key = |id: &Option<String>| id.clone().expect("signed");
    let ecr = fake.calls_to("ecr");
    let last = ecr.last().expect("ECR was called");
    let roles = fake.calls_to("sts").into_iter().map(|call| {
        let role = call.param("RoleArn").expect("a role").to_owned();
        (key(&call.access_key_id), role)
    });
    (key(&last.access_key_id), roles.collect())
}

/// The rule, the profile's kind of source, who signs, and the role that is assumed by whom.
struct Row {
    rules: &'static str,
    signer: &'static str,
    assumed: &'static [(&'static str, &'static str)],
}

pub const DEV: &str = "arn:aws:iam::111122223333:role/dev";

const ROWS: &[Row] = &[
    Row {
        rules: "[111122223333]\nprofile = prod\n",
        signer: "AKIAFAKEPROD00000001",
        assumed: &[],
    },
    Row {
        rules: "[111122223333.dkr.ecr.us-east-1.amazonaws.com]\nprofile=prod\n\
                [111122223333]\nprofile=tools\n[*]\nprofile=tools\n",
        signer: "AKIAFAKEPROD00000001",
        assumed: &[],
    },
    Row {
        rules: "[*]\nprofile = tools\n",
        signer: "AKIAFAKETOOLS0000001",
        assumed: &[],
    },
    Row {
        rules: "[444455556666]\nprofile = tools\n",
        signer: KEY_ID,
        assumed: &[],
    },
    Row {
        rules: "[*]\nprofile = process\n",
        signer: "AKIAFAKEPROCESS00001",
        assumed: &[],
    },
    Row {
        rules: "[*]\nprofile = role\n",
        signer: "ASIA",
        assumed: &[("AKIAFAKEPROD00000001", DEV)],
    },
    Row {
        rules: "[*]\nprofile = environment\n",
        signer: "ASIA",
        assumed: &[(KEY_ID, DEV)],
    },
    Row {
        rules: "[*]\nprofile = sso\n",
        signer: "ASIASSO",
        assumed: &[],
    },
    Row {
        rules: "[*]\nrole_arn = arn:aws:iam::111122223333:role/ecr-pull\n",
        signer: "ASIA",
        assumed: &[(KEY_ID, ROLE)],
    },
    Row {
        rules: "[*]\nprofile = tools\n\
                [111122223333]\nrole_arn = arn:aws:iam::111122223333:role/ecr-pull\n",
        signer: "ASIA",
        assumed: &[("AKIAFAKETOOLS0000001", ROLE)],
    },
];

#[test]
fn rules_choose_the_principal_for_every_client() {
    for row in ROWS {
        for client in CLIENTS {
            let fake = Fake::start();
            let helper = user(&fake, row.rules);
            client.succeeds(&helper, HOST);
            let (signer, assumed) = signers(&fake);
            assert!(
                signer.starts_with(row.signer),
                "{client:?} {}: {signer}",
                row.rules
            );
            let assumed: Vec<_> = assumed.iter().map(|(by, role)| (&**by, &**role)).collect();
            assert_eq!(assumed, row.assumed, "{client:?} {}", row.rules);
        }
    }
}

#[test]
fn aws_ecr_profile_beats_the_file() {
    for client in CLIENTS {
        let fake = Fake::start();
        let rules = format!("[111122223333]\nprofile = prod\nrole_arn = {ROLE}\n");
        let helper = user(&fake, &rules).env("AWS_ECR_PROFILE", "tools");
        client.succeeds(&helper, HOST);
        assert_eq!(signers(&fake), ("AKIAFAKETOOLS0000001".to_owned(), vec![]));
    }
}

#[test]
fn two_accounts_use_two_principals() {
    let fake = Fake::start();
    let rules = "[111122223333]\nprofile = prod\n[444455556666]\nprofile = tools\n";
    let helper = user(&fake, rules);
    let first = helper.secret(HOST);
    assert_eq!(signers(&fake).0, "AKIAFAKEPROD00000001");
    let second = helper.secret(OTHER);
    assert_eq!(signers(&fake).0, "AKIAFAKETOOLS0000001");
    assert_ne!(first, second);
    assert_eq!((helper.secret(HOST), helper.secret(OTHER)), (first, second));
    assert_eq!(fake.count("ecr"), 2, "both are cached");
}

#[test]
fn a_changed_rule_is_a_miss_and_its_removal_a_hit() {
    let fake = Fake::start();
    let helper = user(&fake, "");
    let plain = helper.secret(HOST);
    for (rules, signer) in [
        ("[111122223333]\nprofile = prod\n", "AKIAFAKEPROD00000001"),
        ("[111122223333]\nprofile = tools\n", "AKIAFAKETOOLS0000001"),
    ] {
        helper.write(FILE, rules);
        let password = helper.secret(HOST);
        assert_ne!(password, plain);
        assert_eq!(signers(&fake).0, signer);
        assert_eq!(helper.secret(HOST), password);
    }
    helper.write(FILE, format!("[*]\nrole_arn = {ROLE}\n"));
    assert_ne!(helper.secret(HOST), plain);
    let calls = fake.count("ecr");
    std::fs::remove_file(helper.path(FILE)).expect("it is there");
    assert_eq!(helper.secret(HOST), plain);
    helper.write(FILE, "[111122223333]\nprofile = prod\n");
    helper.secret(HOST);
    assert_eq!(fake.count("ecr"), calls, "all are cached");
}

#[test]
fn an_own_name_shares_the_cache_of_its_registry() {
    let fake = Fake::start();
    let rules = format!("[{OWN}]\nregistry = {HOST}\n[111122223333]\nprofile = prod\n");
    let helper = user(&fake, &rules);
    let password = helper.secret(OWN);
    assert_eq!(signers(&fake).0, "AKIAFAKEPROD00000001");
    for url in [
        HOST,
        "https://registry.example.com",
        "registry.example.com:443",
    ] {
        assert_eq!(helper.secret(url), password, "{url}");
    }
    assert_eq!(fake.count("ecr"), 1);
    for client in CLIENTS {
        client.succeeds(&helper, OWN);
    }
    let list = helper.run_of("list").run();
    list.expect(
        0,
        &format!("{{\"{HOST}\":\"AWS\",\"{OWN}\":\"AWS\"}}\n"),
        "",
    );
    helper.get("other.example.com").expect_not_found();
    helper.get(&format!("{OWN}:5000")).expect_not_found();
}

#[test]
fn erase_and_store_mean_the_registry_behind() {
    let fake = Fake::start();
    let helper = user(&fake, &format!("[{OWN}]\nregistry = {HOST}\n"));
    let password = helper.secret(HOST);
    let login = json!({ "ServerURL": OWN, "Username": "AWS", "Secret": password });
    helper
        .run_of("store")
        .stdin(login.to_string())
        .run()
        .expect(0, "", "");
    helper.run_of("erase").stdin(OWN).run().expect(0, "", "");
    assert_ne!(helper.secret(HOST), password, "it was forgotten");
}

#[test]
fn what_a_rule_cannot_give_names_the_rule() {
    for (rules, words) in [
        (
            "[111122223333]\nprofile = absent\n",
            format!("there is no profile \"absent\", which [111122223333] in {FILE}, line 2 names"),
        ),
        ("[*]\nprofile = empty\n", format!("[*] in {FILE}, line 2")),
    ] {
        for client in CLIENTS {
            let fake = Fake::start();
            let helper = user(&fake, rules);
            let output = client.get(&helper, HOST);
            assert_eq!(output.code, Some(1), "{output:?}");
            let begin = format!("docker-credential-ecr-login: {HOST}: ");
            assert!(output.stderr.starts_with(&begin), "{output:?}");
            assert!(output.stderr.contains(&words), "{output:?}");
            assert_eq!(fake.calls().len(), 0, "no other identity is used");
        }
    }
}

#[test]
fn a_refused_rule_names_the_rule() {
    use crate::support::fake::{Answer, Script};
    let fake = Fake::start();
    fake.change(|b| b.sts = Script::always(Answer::error(403, "AccessDenied", "not authorized")));
    let helper = user(&fake, &format!("[*]\nrole_arn = {ROLE}\n"));
    let output = helper.get(HOST);
    let row = format!("role_arn, from [*] in {FILE}, line 2");
    assert!(output.stderr.contains(&row), "{output:?}");
    assert_eq!((output.code, &*output.stdout), (Some(1), NOT_FOUND));
}

#[test]
fn a_rule_is_never_replaced_by_a_stored_login() {
    let fake = Fake::start();
    let donor = Helper::with_keys(&fake);
    let password = donor.secret(HOST);
    let helper = Helper::new().asks(&fake);
    let login = json!({ "ServerURL": HOST, "Username": "AWS", "Secret": password });
    helper
        .run_of("store")
        .stdin(login.to_string())
        .run()
        .expect(0, "", "");
    assert_eq!(
        helper.secret(HOST),
        password,
        "it serves without credentials"
    );
    for rules in [
        "[*]\nprofile = absent\n".to_owned(),
        format!("[*]\nrole_arn = {ROLE}\n"),
    ] {
        helper.write(FILE, rules);
        let output = helper.get(HOST);
        assert_eq!(
            (output.code, &*output.stdout),
            (Some(1), NOT_FOUND),
            "{output:?}"
        );
        assert!(
            output.stderr.contains(&format!("[*] in {FILE}, line 2")),
            "{output:?}"
        );
    }
}
