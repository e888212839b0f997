//! The hosts that short links live on.

use std::collections::HashMap;

use maud::html;
use tollgate_access::Scope;
use tollgate_links::{Domain, LinkKey};

use super::client::{ApiPath, push_parameter};
use super::layout::Place;
use super::show::{Stats, number};
use super::visitor::{Shown, Visitor};

pub(super) async fn page(visitor: Visitor) -> Shown {
    visitor.require(Scope::LinksRead)?;
    let counted = visitor.may(Scope::StatsRead) && visitor.dashboard.admin.clicks.is_some();
    let clicks: Option<HashMap<String, u64>> = if counted {
        let path = ApiPath::new(["stats"])
            .with("by", "domain")
            .with("top", "1000");
        let mut stats: Stats = visitor.read(path).await?;
        let counted = stats.by.remove("domain").unwrap_or_default();
        let counted = counted.into_iter().map(|one| (one.value, one.clicks));
        Some(counted.collect())
    } else {
        None
    };
    let parts = visitor.dashboard.admin.service.parts();
    let domains = &parts.domains;
    let all = std::iter::once(Domain::default_domain()).chain(domains.others());
    let all: Vec<Domain> = all.filter(|domain| visitor.key().may_use(domain)).collect();
    let body = html! {
        div.head { h1 { "Domains" } }
        section.card {
            div.scroll tabindex="0" role="region" aria-label="Domains" {
                table.stack {
                    thead {
                        tr {
                            th scope="col" { "Domain" } th scope="col" { "Short links begin with" }
                            @if clicks.is_some() { th.number scope="col" { "Clicks, 30 days" } }
                            th scope="col" { span.hidden { "Links" } }
                        }
                    }
                    tbody {
                        @for domain in &all {
                            @let host = domains.host_of(domain);
                            @let base = domains.short_url(&LinkKey { domain: domain.clone(), code: tollgate_links::Code::from_stored("") });
                            // Statistics have no value for the default domain.
                            @let counted = if domain.is_default() { "(none)" } else { domain.as_str() };
                            tr {
                                th scope="row" { span { (host) @if domain.is_default() { " " span.badge { "default" } } } }
                                td data-label="Begins with" { code { (base) } }
                                @if let Some(clicks) = &clicks {
                                    td.number data-label="Clicks, 30 days" { (number(clicks.get(counted).copied().unwrap_or_default())) }
                                }
                                td {
                                    @let mut address = "/links".to_owned();
                                    @let () = push_parameter(&mut address, "domain", &host);
                                    a.button.small href=(address) { "Links" span.hidden { " of " (host) } }
                                }
                            }
                        }
                    }
                }
            }
        }
        section.card {
            h2 { "Another domain" }
            p { "Domains are a matter of the configuration, because they need DNS and certificates, too. Point the name at the edge, add it, and start the server anew:" }
            pre tabindex="0" { "[links]\nbase_url = \"https://go.example.com\"\ndomains = [\"https://lnk.example\"]" }
        }
    };
    Ok(visitor.page(Place::Domains, "Domains", &body))
}
