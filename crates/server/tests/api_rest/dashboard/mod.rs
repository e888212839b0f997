//! The dashboard, as a browser without scripts uses it.

mod links;
mod output;
mod planner;
mod replay;
mod rights;
mod sessions;
mod simulator;

use http::Request;

use crate::server::{Answer, Server, empty, full};

/// Somebody who is signed in.
pub struct Visitor<'a> {
    server: &'a Server,
    pub(crate) cookie: String,
}

impl Answer {
    fn page(&self) -> String {
        assert_eq!(self.header("content-type"), "text/html; charset=utf-8");
        String::from_utf8(self.body.to_vec()).unwrap()
    }
}

fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new())
        .extend_pairs(fields)
        .finish()
}

pub(crate) async fn try_to_sign_in(server: &Server, key: &str, headers: &[(&str, &str)]) -> Answer {
    let mut request = Request::post("/sign-in")
        .header("host", "admin")
        .header("content-type", "application/x-www-form-urlencoded");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = form(&[("key", key), ("next", "/links?q=a")]);
    server.send(request.body(full(body)).unwrap()).await
}

pub async fn sign_in<'a>(server: &'a Server, key: &str) -> Visitor<'a> {
    let answer = try_to_sign_in(server, key, &[]).await;
    assert_eq!(answer.status, 303, "{:?}", answer.body);
    let cookie = answer.header("set-cookie").split(';').next().unwrap();
    Visitor {
        server,
        cookie: cookie.to_owned(),
    }
}

impl Visitor<'_> {
    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = Request::get(path)
            .header("host", "admin")
            .header("cookie", &self.cookie);
        self.server.send(request.body(empty()).unwrap()).await
    }

    pub async fn page(&self, path: &str) -> String {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {:?}", answer.body);
        answer.page()
    }

    pub(crate) async fn csrf(&self) -> String {
        let page = self.page("/system").await;
        let (_, rest) = page.split_once("name=\"csrf\" value=\"").unwrap();
        rest.split('"').next().unwrap().to_owned()
    }

    async fn send(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = Request::post(path)
            .header("host", "admin")
            .header("cookie", &self.cookie)
            .header("content-type", "application/x-www-form-urlencoded");
        let body = full(form(fields));
        self.server.send(request.body(body).unwrap()).await
    }

    /// Sends a form as the page has it.
    pub(crate) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let csrf = self.csrf().await;
        let mut all = vec![("csrf", &*csrf)];
        all.extend_from_slice(fields);
        self.send(path, &all).await
    }
}

const PAGES: [&str; 11] = [
    "/",
    "/links",
    "/new",
    "/limits",
    "/keys",
    "/audit",
    "/domains",
    "/webhooks",
    "/planner",
    "/simulator",
    "/system",
];
