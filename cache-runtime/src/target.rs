//! Which entry a call, or a handle, is about.

use std::sync::Arc;

use crate::cache::Cache;
use crate::faults::{self, Fault};
use crate::fingerprint;
use crate::frame::{self, Gathered};
use crate::key::{Key, Segment};
use crate::near::Place;
use crate::policy::{Holding, Policy};
use crate::private::Chosen;
use crate::request::{Asked, Request, Unasked};
use crate::site::{Site, Warning};
use crate::tags::{self, Tag};
use crate::telemetry;
use crate::terms::Terms;

/// One function, one cache, one key.
pub struct Target {
    pub(crate) site: &'static Site,
    pub(crate) owner: &'static str,
    pub(crate) cache: Option<Cache>,
    pub(crate) key: Option<Key>,
    /// Where a copy may be, in the place of the key.
    pub(crate) place: Option<Place>,
    /// Where it is not the site's: boxed, as each call moves a target about.
    policy: Holding,
    /// The names of the tags that its attribute says of the arguments.
    tags: Vec<String>,
}

impl Target {
    /// Renders the key of a call. `owner` names the type whose method the function is.
    #[must_use]
    pub fn new(
        site: &'static Site,
        owner: &'static str,
        chosen: Chosen,
        segments: &[Segment<'_>],
    ) -> Self {
        let Chosen { cache, is_near } = chosen;
        let policy = Holding::Constant(site.policy);
        if is_near
            && let Some(cache) = &cache
            && let Some(place) = near_place(site, owner, cache, segments)
        {
            let (cache, place) = (Some(cache.clone()), Some(place));
            return Self { site, owner, cache, key: None, place, policy, tags: Vec::new() };
        }
        let key = cache.as_ref().and_then(|cache| {
            cache.0.functions.note(site, segments);
            let rendered = Key::render(&cache.0.namespace, segments);
            if rendered.is_err() {
                telemetry::warn_once(site, Warning::Key, site.template());
            }
            rendered.ok()
        });
        Self { site, owner, cache, key, place: None, policy, tags: Vec::new() }
    }

    /// The tags of a call.
    #[must_use]
    pub fn tags(mut self, tags: &[&[Segment<'_>]]) -> Self {
        if let (Some(place), Some(cache)) = (self.place, &self.cache) {
            // Without one there is no copy: for the entry all of it is asked again.
            self.place = cache.0.near.secret().tagged(place, tags);
            return self;
        }
        for segments in tags {
            if let Ok(text) = tags::text(segments) {
                self.tags.extend(text.as_deref().map(tags::name));
            } else {
                // As half a key would stand for more than one value, half a tag would miss some.
                telemetry::warn_once(self.site, Warning::Key, self.site.template());
                self.key = None;
            }
        }
        self
    }

    /// A parameter may stand in a tag and not in the key: what differs in it is another entry.
    ///
    /// By the tags in their order, and not by those that an entry carries: `a` and `b` of `x:{a}` and `x:{b}` may
    /// change places, and any value may carry more tags than its call has.
    fn told_apart(&self, fingerprint: u64) -> u64 {
        if self.tags.is_empty() || faults::on(Fault::UndeclaredAccepted) {
            return fingerprint;
        }
        fingerprint::with_tags(fingerprint, &self.tags)
    }

    fn all_tags(&self, namespace: &str, clearable: bool) -> Vec<Tag> {
        let mut tags = Vec::new();
        for name in clearable
            .then_some(tags::EVERYTHING)
            .into_iter()
            .chain(self.tags.iter().map(String::as_str))
        {
            let tag = Tag::stamped(namespace, name);
            if !tags.contains(&tag) {
                tags.push(tag);
            }
        }
        tags.extend(self.site.tags_before(namespace));
        tags
    }

    /// For a handle, whose policy does not wait for a body.
    #[must_use]
    pub fn resolved(mut self, resolve: impl FnOnce(&mut Policy)) -> Self {
        let mut policy = *self.policy;
        resolve(&mut policy);
        self.policy = Holding::Resolved(Arc::new(policy.checked(self.site)));
        self
    }

    /// Without a cache or a key there are only the tags of what the body will give.
    pub(crate) fn asked(mut self, fingerprint: u64, forced: bool) -> Result<Asked, Unasked> {
        let (policy, site) = (self.policy.clone(), self.site);
        let (Some(Cache(cache)), Some(key)) = (self.cache.take(), self.key.take()) else {
            let mut tags = Gathered::for_entry();
            self.tags.iter().for_each(|name| tags.add(name));
            return Err(Unasked { site: Some(site), tags });
        };
        let fingerprint = self.told_apart(fingerprint);
        let tags = self.all_tags(&cache.namespace, cache.settings.clearable);
        let request = Request {
            cache,
            site,
            key,
            fingerprint,
            tags,
            policy,
            terms: Terms::default(),
            place: self.place,
            waits: None,
            part: None,
        };
        Ok(Asked { request, forced })
    }

    pub(crate) fn request(&self, fingerprint: u64) -> Option<Request> {
        let cache = Arc::clone(&self.cache.as_ref()?.0);
        Some(Request {
            tags: self.all_tags(&cache.namespace, cache.settings.clearable),
            cache,
            site: self.site,
            key: self.key.clone()?,
            fingerprint: self.told_apart(fingerprint),
            policy: self.policy.clone(),
            terms: Terms::default(),
            place: None,
            waits: None,
            part: None,
        })
    }
}

/// Where the copy of a call may be; `None` where none is asked for. Inside a body that is so: what is made of a copy would be
/// as old as the news of an invalidation may be, and stored.
fn near_place(
    site: &'static Site,
    owner: &str,
    cache: &Cache,
    segments: &[Segment<'_>],
) -> Option<Place> {
    let near = &cache.0.near;
    if site.policy.near.is_none() || !near.is_on() || !cache.0.store.is_far() || frame::gathers() {
        return None;
    }
    near.secret().place(site, owner, segments)
}
