//! The hosts that short links live on.

use maud::html;
use tollgate_access::Scope;
use tollgate_links::LinkKey;

use super::client::push_parameter;
use super::layout::Place;
use super::show::number;
use super::visitor::{Shown, Visitor};

pub(super) async fn page(visitor: Visitor) -> Shown {
    visitor.require(Scope::LinksRead)?;
    let clicks = visitor.clicks_by("domain").await?;
    let parts = visitor.dashboard.admin.service.parts();
    let domains = &parts.domains;
    let all = visitor.domains();
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
