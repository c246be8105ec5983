//! Profiles for the commands for people: which exist, and their region.

use super::Surroundings;
use crate::env::Env;
use crate::problem::Problem;

impl Surroundings {
    /// The names of all profiles.
    ///
    /// # Errors
    /// When the config files cannot be read.
    pub fn profile_names(&self) -> Result<Vec<String>, Problem> {
        Ok(self.config()?.profiles())
    }

    /// The variable that names this profile, if one does.
    pub fn profile_variable(&self, profile: &str) -> Option<&'static str> {
        let (name, variable) = self.named_profile()?;
        (name == profile).then_some(variable)
    }

    /// The region that variables or the profile set: the profile of this name, or else the one in
    /// force.
    pub fn region(&self, env: &Env, profile: Option<&str>) -> Option<String> {
        let set = env
            .var("AWS_REGION")
            .or_else(|| env.var("AWS_DEFAULT_REGION"));
        if set.is_some() {
            return set;
        }
        let named = self.named_profile().map(|(name, _)| name);
        let name = profile.map(str::to_owned).or(named);
        let config = self.config().ok()?;
        let section = config
            .profile(name.as_deref().unwrap_or("default"))
            .ok()??;
        let region = section.get("region")?.trim();
        (!region.is_empty()).then(|| region.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use crate::env::HOME;
    use crate::log::Log;

    use super::*;

    #[test]
    fn region_is_that_of_variables_then_of_the_profile() {
        let dir = tempfile::tempdir().expect("a directory");
        let file = dir.path().join("config");
        let text = "[default]\nregion = eu-west-1\n[profile b]\nregion = us-east-1\n[profile c]\n";
        std::fs::write(&file, text).expect("writable");
        let file = file.to_str().expect("UTF-8");
        let mut vars = vec![("AWS_CONFIG_FILE", file), (HOME, "/none")];
        let region = |vars: &[(&str, &str)], profile| {
            let env = Env::of(vars.iter().copied());
            let surroundings = Surroundings::read(&env, Log::off());
            assert_eq!(surroundings.profile_names().expect("readable").len(), 3);
            surroundings.region(&env, profile)
        };
        assert_eq!(region(&vars, None).as_deref(), Some("eu-west-1"));
        assert_eq!(region(&vars, Some("b")).as_deref(), Some("us-east-1"));
        assert_eq!(region(&vars, Some("c")), None);
        vars.push(("AWS_PROFILE", "b"));
        assert_eq!(region(&vars, None).as_deref(), Some("us-east-1"));
        vars.push(("AWS_DEFAULT_REGION", "ap-south-1"));
        assert_eq!(region(&vars, Some("b")).as_deref(), Some("ap-south-1"));
    }
}
