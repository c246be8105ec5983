//! Which connections a plan is certain to need, so that they are opened while its source is asked.

use crate::ecr::executor::Executor;
use crate::principal::{Endpoint, Plan, Role, Source};

impl Executor<'_> {
    /// The roles that will be assumed once the source of an ambient plan has named the principal;
    /// none if they cannot be, which is for the call itself to report.
    pub(super) fn roles_ahead<'a>(&self, plan: &'a Plan) -> Option<&'a [Role]> {
        match plan.kept_role((self.clock)()) {
            Ok(Some(kept)) => Some(kept.remaining),
            Ok(None) => Some(&plan.roles),
            Err(_) => None,
        }
    }

    /// Opens the connections of the plan's later requests. The first request opens its own.
    pub(super) async fn connect_early(&self, plan: &Plan, has_session: bool, roles: &[Role]) {
        let waits = match &plan.source {
            _ if has_session => false,
            Source::Environment(_) | Source::Static { .. } => false,
            Source::Process { .. }
            | Source::Sso(_)
            | Source::Login(_)
            | Source::WebIdentity(_)
            | Source::Container(_)
            | Source::InstanceMetadata(_) => true,
        };
        if !waits && roles.is_empty() {
            return;
        }
        let mut urls = Vec::new();
        if let (false, Source::Sso(sso)) = (has_session, &plan.source) {
            urls.extend(portal_url(&sso.portal).await);
        }
        let mut first = None;
        for (index, role) in roles.iter().enumerate() {
            let url = sts_url(&role.sts).await;
            if index == 0 && !waits {
                first = url;
            } else if url != first {
                urls.extend(url);
            }
        }
        urls.push(plan.api.url.clone());
        self.client
            .connect_early(urls.iter().map(String::as_str), self.connect_limit());
    }
}

/// The URL that the SDK chooses.
async fn sts_url(sts: &Endpoint) -> Option<String> {
    use aws_sdk_sts::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
    let params = Params::builder()
        .region(&sts.region)
        .use_fips(sts.variant().fips)
        .use_dual_stack(sts.variant().dual_stack)
        .set_endpoint(sts.url().map(str::to_owned))
        .build()
        .ok()?;
    let chosen = DefaultResolver::new()
        .resolve_endpoint(&params)
        .await
        .ok()?;
    Some(chosen.url().to_owned())
}

/// The URL that the SDK chooses.
async fn portal_url(portal: &Endpoint) -> Option<String> {
    use aws_sdk_sso::config::endpoint::{DefaultResolver, Params, ResolveEndpoint};
    let params = Params::builder()
        .region(&portal.region)
        .use_fips(portal.variant().fips)
        .use_dual_stack(portal.variant().dual_stack)
        .set_endpoint(portal.url().map(str::to_owned))
        .build()
        .ok()?;
    let chosen = DefaultResolver::new()
        .resolve_endpoint(&params)
        .await
        .ok()?;
    Some(chosen.url().to_owned())
}
