//! From a request to an answer. What memory knows is answered at once, without waiting or
//! allocating a future; everything else goes on in [`later`].

use std::convert::Infallible;
use std::future::{Future, Ready, ready};
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::Either;
use http::header::{CONNECTION, EXPECT};
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode, Version};
use http_body_util::Full;
use hyper::Request;
use hyper::body::{Body, Incoming};
use hyper::service::Service;
use tollgate_clock::UnixMillis;
use tollgate_links::store::{ClickGrant, StoreError};
use tollgate_links::{CachedLink, Link, LinkKey, LinkState, Lookup, RedirectKind, ServiceParts};

use super::RootPage;
use super::accept::EdgeThread;
use super::cache_control;
use super::head::RequestHead;
use super::pages;
use super::password::{self, Verdict};
use super::respond::{Answer, Redirection, Reply};
use super::route::{Route, route};
use super::visit::{Recognition, destination, visitor};
use crate::activity::Activity;
use crate::leftover;
use crate::metrics::{Outcome, Source};
use crate::well_formed;

/// What a path with a code may be asked.
const LINK_METHODS: &str = "GET, HEAD, POST";
/// What every other path may be asked, and a link without a password.
const READ_METHODS: &str = "GET, HEAD";

/// How long a visitor waits to be refused while more is asked than can be answered in time.
const SHED_PAUSE: Duration = Duration::from_millis(500);

/// Answers the requests of one connection that hyper has read.
pub(super) struct EdgeService {
    pub(super) thread: Arc<EdgeThread>,
    pub(super) activity: Arc<Activity>,
    pub(super) peer: IpAddr,
}

/// What is wanted of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    /// To be led to its target.
    Follow,
    /// To be led to its target; the password comes with the request.
    Unlock,
    /// To be shown its target.
    Preview,
    /// To be shown a QR code that leads to it.
    Qr,
}

/// What happens next.
pub(super) enum Step {
    Answer(Reply),
    /// The link is live, and its visitors are led on by [`EdgeThread::lead`].
    Lead(LinkKey, CachedLink, Source, UnixMillis),
    /// There is no such link; who asks for many of those is told so.
    Missing(LinkKey, Intent, Source),
    /// The link has to be fetched.
    Fetch(LinkKey, Intent),
    /// A QR code of the link has to be drawn.
    Draw(LinkKey, Source),
    /// The link is known, but its password or its clicks have to be seen to.
    Earn(Arc<Link>, Intent, Source),
}

impl Service<Request<Incoming>> for EdgeService {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Either<
        Ready<Result<Self::Response, Infallible>>,
        Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>,
    >;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let started = self.activity.last_read();
        let sends_nothing = request.body().is_end_stream();
        let head = RequestHead::new(request.method(), request.uri(), request.headers());
        let step = match refused(&request) {
            Some(reply) => Step::Answer(reply),
            None => first_step(&self.thread, head),
        };
        let at_once = match step {
            Step::Answer(reply) if sends_nothing => Ok(reply),
            Step::Lead(key, link, source, now) if sends_nothing => {
                let place = (&key, &link);
                Ok(self.thread.led(self.peer, head, place, None, source, now))
            }
            step => Err(step),
        };
        match at_once {
            Ok(reply) => {
                let now = Instant::now();
                self.activity.answered(now);
                let answer = self.thread.count(reply, started, now);
                let answer = self.thread.signed(answer, &self.activity);
                Either::Left(ready(Ok(answer.map(Full::new))))
            }
            Err(step) => {
                let activity = Arc::clone(&self.activity);
                let in_flight = self.activity.begin();
                let thread = Arc::clone(&self.thread);
                let peer = self.peer;
                Either::Right(Box::pin(async move {
                    let (head, body) = request.into_parts();
                    let reply = later(&thread, peer, head, body, step).await;
                    drop(in_flight);
                    let answer = thread.count(reply, started, Instant::now());
                    Ok(thread.signed(answer, &activity).map(Full::new))
                }))
            }
        }
    }
}

impl EdgeThread {
    pub(super) fn count(&self, reply: Reply, started: Instant, now: Instant) -> Answer {
        let took = now.saturating_duration_since(started);
        self.recorder.observe(reply.outcome, reply.source, took);
        reply.answer
    }

    /// Tells an HTTP/1 client whose connection is about to end that this is its last answer.
    fn signed(&self, mut answer: Answer, activity: &Activity) -> Answer {
        if self.drain.begun() && !activity.is_multiplexed() {
            let close = HeaderValue::from_static("close");
            answer.headers_mut().insert(CONNECTION, close);
        }
        answer
    }
}

/// Refuses a head that others could understand in another way.
fn refused(head: &Request<Incoming>) -> Option<Reply> {
    let checked = well_formed::check(head.method(), head.uri(), head.version(), head.headers());
    let bad = checked.err()?;
    let mut reply = Reply::refused(bad.status(), &bad.to_string());
    // Where the next request begins is no more certain than what this one asks for.
    if head.version() < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        reply.answer.headers_mut().insert(CONNECTION, close);
    }
    Some(reply)
}

/// What a request means, as far as memory knows.
pub(super) fn first_step(thread: &EdgeThread, head: RequestHead<'_>) -> Step {
    let reads = head.reads();
    let (text, intent) = match route(head.path) {
        Route::TooLong => {
            return Step::Answer(Reply::refused(
                StatusCode::URI_TOO_LONG,
                "No link is as long as this.",
            ));
        }
        Route::Link(text) if reads => (text, Intent::Follow),
        Route::Link(text) if *head.method == Method::POST => (text, Intent::Unlock),
        Route::Link(_) => {
            return Step::Answer(Reply::method_not_allowed(LINK_METHODS, Source::None));
        }
        _ if !reads => return Step::Answer(Reply::method_not_allowed(READ_METHODS, Source::None)),
        Route::Preview(text) => (text, Intent::Preview),
        Route::Qr(text) => (text, Intent::Qr),
        Route::Root => return Step::Answer(root(thread)),
        Route::Robots => return Step::Answer(Reply::robots()),
        Route::Favicon => return Step::Answer(Reply::no_icon()),
        Route::Nowhere => {
            return Step::Answer(Reply::not_found(Outcome::NotFound, Source::None));
        }
    };
    let parts = thread.shared.parts();
    let Ok(code) = parts.codes.parse(&text) else {
        return Step::Answer(Reply::not_found(Outcome::NotFound, Source::None));
    };
    let domain = parts.domains.of_host(head.host);
    let lookup = parts.cache.peek(&domain, &code);
    let key = LinkKey { domain, code };
    match lookup {
        Some(lookup) => step(thread, key, lookup, intent),
        None => Step::Fetch(key, intent),
    }
}

fn root(thread: &EdgeThread) -> Reply {
    match &thread.shared.options.root {
        RootPage::Landing => Reply::landing(),
        RootPage::Redirect(target) => Reply::redirect(
            Redirection {
                status: StatusCode::FOUND,
                location: target.as_str().into(),
                cache_control: cache_control::no_store(),
            },
            Source::None,
        ),
    }
}

/// What a link that was looked up means for the request. Never [`Step::Fetch`].
fn step(thread: &EdgeThread, key: LinkKey, lookup: Lookup, intent: Intent) -> Step {
    let source = Source::from(lookup.tier);
    let Some(link) = lookup.link else {
        return Step::Missing(key, intent, source);
    };
    let now = thread.shared.parts().clock.now();
    match link.state(now) {
        LinkState::Live => {}
        LinkState::Pending => return Step::Answer(Reply::not_found(Outcome::Pending, source)),
        LinkState::Expired => return Step::Answer(Reply::gone(Outcome::Expired, source)),
        LinkState::UsedUp => return Step::Answer(Reply::gone(Outcome::UsedUp, source)),
    }
    match (intent, link) {
        (Intent::Preview, link) => {
            let short_url = thread.shared.parts().domains.short_url(&key);
            Step::Answer(Reply::preview(pages::preview(&short_url, &link), source))
        }
        (Intent::Qr, _) => Step::Draw(key, source),
        (Intent::Unlock, CachedLink::Whole(link)) if link.spec.password.is_some() => {
            Step::Earn(link, intent, source)
        }
        (Intent::Unlock, _) => Step::Answer(Reply::method_not_allowed(READ_METHODS, source)),
        (Intent::Follow, link) if link.has_password() => {
            Step::Answer(Reply::password(false, source))
        }
        // HEAD takes a click as GET does: its answer shows the target as well.
        (Intent::Follow, CachedLink::Whole(link)) if link.spec.max_clicks.is_some() => {
            Step::Earn(link, intent, source)
        }
        (Intent::Follow, link) => Step::Lead(key, link, source, now),
    }
}

impl EdgeThread {
    /// Where a visitor of a live link is led, who is counted; by the status of the link, or another.
    /// `None` for a location that cannot stand in a header.
    pub(super) fn lead<'l>(
        &self,
        peer: IpAddr,
        head: RequestHead<'_>,
        (key, link): (&LinkKey, &'l CachedLink),
        status: Option<StatusCode>,
        now: UnixMillis,
    ) -> Option<Redirection<'l>> {
        let shared = &self.shared;
        let recognition = Recognition {
            peer,
            trusted_proxies: &shared.options.trusted_proxies,
            visitor_key: &shared.state.visitor_key,
        };
        let location = destination(key, link, head, &recognition, now);
        if !location.bytes().all(stands_in_a_header) {
            return None;
        }
        let kind = link.redirect().unwrap_or(shared.options.default_redirect);
        self.visited(peer, head, key, &location, now);
        Some(Redirection {
            status: status.unwrap_or_else(|| status_of(kind)),
            location,
            cache_control: cache_control::of_redirect(link, kind, now),
        })
    }

    /// As [`lead`](Self::lead), as an answer.
    pub(super) fn led(
        &self,
        peer: IpAddr,
        head: RequestHead<'_>,
        link: (&LinkKey, &CachedLink),
        status: Option<StatusCode>,
        source: Source,
        now: UnixMillis,
    ) -> Reply {
        match self.lead(peer, head, link, status, now) {
            Some(redirection) => Reply::redirect(redirection, source),
            None => Reply::failed("the target cannot stand in a header", source),
        }
    }
}

/// Whether a value can have this byte (RFC 9110, 5.5).
const fn stands_in_a_header(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

fn status_of(kind: RedirectKind) -> StatusCode {
    match kind {
        RedirectKind::MovedPermanently => StatusCode::MOVED_PERMANENTLY,
        RedirectKind::Found => StatusCode::FOUND,
        RedirectKind::Temporary => StatusCode::TEMPORARY_REDIRECT,
        RedirectKind::Permanent => StatusCode::PERMANENT_REDIRECT,
    }
}

/// What has to be waited for.
pub(super) async fn later<B>(
    thread: &EdgeThread,
    peer: IpAddr,
    head: Parts,
    body: B,
    first: Step,
) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let next = match first {
        Step::Fetch(key, intent) => match thread.shared.parts().cache.get(key.clone()).await {
            Ok(lookup) => step(thread, key, lookup, intent),
            Err(error) => return store_failed(thread, &error).await,
        },
        other => other,
    };
    if let Step::Earn(link, Intent::Unlock, source) = next {
        return unlock(thread, peer, &head, body, &link, source).await;
    }
    let asks = head.headers.contains_key(EXPECT);
    // Who asks first has sent nothing yet.
    if !asks {
        leftover::discard(body).await;
    }
    match next {
        Step::Answer(reply) => reply,
        Step::Lead(key, link, source, now) => {
            thread.led(peer, (&head).into(), (&key, &link), None, source, now)
        }
        Step::Draw(key, source) => draw(thread, &head, &key, source).await,
        Step::Missing(key, intent, source) => {
            missing(thread, peer, &head, &key, intent, source).await
        }
        Step::Earn(link, _, source) => take_click(thread, peer, &head, &link, None, source).await,
        Step::Fetch(key, _) => Reply::failed(format_args!("{key} was fetched twice"), Source::None),
    }
}

/// A large image takes milliseconds, for which no redirect shall wait.
async fn draw(thread: &EdgeThread, head: &Parts, key: &LinkKey, source: Source) -> Reply {
    let shared = Arc::clone(&thread.shared);
    let short_url = shared.parts().domains.short_url(key);
    let query = head.uri.query().unwrap_or_default().to_owned();
    let work = move || {
        let logo = shared.options.qr_logo.as_deref();
        Reply::qr(&short_url, &query, logo, source)
    };
    match thread.shared.drawing.run(work).await {
        Some(reply) => reply,
        None => shed(thread).await,
    }
}

async fn missing(
    thread: &EdgeThread,
    peer: IpAddr,
    head: &Parts,
    key: &LinkKey,
    intent: Intent,
    source: Source,
) -> Reply {
    let shared = &thread.shared;
    let visitor = visitor(peer, head.into(), &shared.options.trusted_proxies);
    match shared.state.guard.not_found(visitor).await {
        Ok(()) if intent == Intent::Follow => stray(thread, peer, head, key, source),
        Ok(()) => Reply::not_found(Outcome::NotFound, source),
        Err(over) => Reply::too_many(over.retry_after(), source),
    }
}

/// 404 to somebody who followed a link that does not exist.
fn stray(thread: &EdgeThread, peer: IpAddr, head: &Parts, key: &LinkKey, source: Source) -> Reply {
    thread.strayed(peer, head.into(), key, thread.shared.parts().clock.now());
    Reply::not_found(Outcome::NotFound, source)
}

async fn unlock<B>(
    thread: &EdgeThread,
    peer: IpAddr,
    head: &Parts,
    body: B,
    link: &Arc<Link>,
    source: Source,
) -> Reply
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let shared = &thread.shared;
    let given = match password::read_form(head, body, shared.options.header_timeout).await {
        Ok(given) => given,
        Err(refusal) => return Reply::refused(refusal.status(), &refusal.to_string()),
    };
    let Some(hash) = link.spec.password.clone() else {
        return Reply::method_not_allowed(READ_METHODS, source);
    };
    let visitor = visitor(peer, head.into(), &shared.options.trusted_proxies);
    let name = link.key.to_string();
    if let Err(over) = shared.state.guard.password(&name, visitor).await {
        return Reply::too_many(over.retry_after(), source);
    }
    match shared.passwords.verify(given, hash).await {
        Verdict::Right => {}
        Verdict::Wrong => return Reply::password(true, source),
        Verdict::Busy => return Reply::unavailable(),
    }
    // The form was posted; its reward is fetched (RFC 9110, 15.4.4).
    let status = Some(StatusCode::SEE_OTHER);
    if link.spec.max_clicks.is_some() {
        return take_click(thread, peer, head, link, status, source).await;
    }
    let now = shared.parts().clock.now();
    let place = (&link.key, &CachedLink::Whole(Arc::clone(link)));
    thread.led(peer, head.into(), place, status, source, now)
}

/// Redirects if the store grants a click: nobody else can know whether one is left.
async fn take_click(
    thread: &EdgeThread,
    peer: IpAddr,
    head: &Parts,
    link: &Arc<Link>,
    status: Option<StatusCode>,
    source: Source,
) -> Reply {
    let ServiceParts {
        store,
        cache,
        clock,
        ..
    } = thread.shared.parts();
    let Some(admitted) = thread.shared.state.counted.admit() else {
        return shed(thread).await;
    };
    let taken = store.take_click(&link.key).await;
    admitted.done();
    match taken {
        Ok(ClickGrant::Granted { .. } | ClickGrant::Unlimited) => {
            let place = (&link.key, &CachedLink::Whole(Arc::clone(link)));
            thread.led(peer, head.into(), place, status, source, clock.now())
        }
        Ok(ClickGrant::UsedUp) => {
            // So that the next visitor is turned away without asking the store.
            cache.invalidate(&link.key);
            Reply::gone(Outcome::UsedUp, Source::Store)
        }
        Ok(ClickGrant::NotFound) => {
            cache.invalidate(&link.key);
            stray(thread, peer, head, &link.key, Source::Store)
        }
        Err(error) => store_failed(thread, &error).await,
    }
}

/// Refuses a visitor. Not at once: on the same connection nothing is asked meanwhile, and reading what is asked
/// again and again would cost what others need to be answered.
async fn shed(thread: &EdgeThread) -> Reply {
    tokio::select! {
        () = tokio::time::sleep(SHED_PAUSE) => {}
        () = thread.drain.token().cancelled() => {}
    }
    Reply::shed()
}

async fn store_failed(thread: &EdgeThread, error: &StoreError) -> Reply {
    if matches!(error, StoreError::Overloaded) {
        return shed(thread).await;
    }
    thread.store_failures.log(error);
    Reply::unavailable()
}
