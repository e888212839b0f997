//! `pyshorteners` from PyPI.

use serde_json::json;

use super::{Caller, click, start};

#[test]
#[ignore = "needs a client from PyPI: scripts/test e2e"]
fn the_client_of_bitly_goes_all_its_ways() {
    let server = start("bitly");
    let client = server.client();
    let url = format!("{}/v4", server.admin);
    let mut bitly = Caller::python("bitly", &url, &server.key);
    let short = bitly.call(&json!(["short", {"url": "https://example.com/long"}]));
    let code = short.as_str().and_then(|short| short.rsplit('/').next());
    let code = code.unwrap_or_else(|| panic!("{short}")).to_owned();
    assert_eq!(short, client.edge(&code));
    let again = bitly.call(&json!(["short", {"url": "https://example.com/long"}]));
    assert_eq!(again, short);
    let long = bitly.call(&json!(["expand", {"url": short}]));
    assert_eq!(long, "https://example.com/long");
    assert_eq!(bitly.call(&json!(["total_clicks", {"url": short}])), 0);
    click(&client, &code, 3);
    assert_eq!(bitly.call(&json!(["total_clicks", {"url": short}])), 3);

    let wrong = bitly.call(&json!(["short", {"url": short}]));
    assert_eq!(wrong["raised"], "ShorteningErrorException", "{wrong}");
    assert!(
        wrong["message"]
            .as_str()
            .unwrap()
            .contains("INVALID_ARG_LONG_URL")
    );
    let missing = bitly.call(&json!(["expand", {"url": client.edge("none")}]));
    assert_eq!(missing["raised"], "ExpandingErrorException", "{missing}");
    assert!(missing["message"].as_str().unwrap().contains("NOT_FOUND"));
    let mut stranger = Caller::python("bitly", &url, "tg_00000000000000000000");
    let refused = stranger.call(&json!(["short", {"url": "https://example.com"}]));
    assert!(refused["message"].as_str().unwrap().contains("FORBIDDEN"));
}
