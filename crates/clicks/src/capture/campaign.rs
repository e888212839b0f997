//! The parameters by which owners of links tell their campaigns apart.

/// What their names begin with.
const PREFIX: &str = "utm_";

/// The campaign of a click: the `utm_` parameters of its request, or else those of its target.
pub(crate) fn parameters<'a>(
    query: Option<&'a str>,
    target: Option<&'a str>,
) -> impl Iterator<Item = &'a str> {
    let of_target = || Some(target?.split_once('?')?.1.split('#').next().unwrap_or(""));
    let query = query
        .filter(|query| pairs(query).next().is_some())
        .or_else(of_target);
    pairs(query.unwrap_or(""))
}

fn pairs(query: &str) -> impl Iterator<Item = &str> {
    query.split('&').filter(|pair| pair.starts_with(PREFIX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(query: Option<&str>, target: Option<&str>) -> String {
        let all: Vec<_> = parameters(query, target).collect();
        all.join("&")
    }

    #[test]
    fn the_request_counts_before_the_target_and_the_rest_is_left_out() {
        let target = Some("https://x.example/?a=1&utm_source=mail#utm_medium=x");
        assert_eq!(
            of(Some("q=secret&utm_source=ad&utm_term=%20"), target),
            "utm_source=ad&utm_term=%20"
        );
        assert_eq!(of(Some("q=secret"), target), "utm_source=mail");
        assert_eq!(of(None, target), "utm_source=mail");
        assert_eq!(of(None, Some("https://x.example/")), "");
        assert_eq!(of(Some("q=secret"), None), "");
    }
}
