//! A Redis Cluster: which node has which slot, and how to follow a slot that moves.
//!
//! Each node has its own connections, breaker and clock ([`Link`]): one that does not answer keeps nobody from the
//! others. Only masters are asked for keys.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use ::redis::{ConnectionAddr, ConnectionInfo, RedisError, Value};
use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::super::StoreError;
use super::Refusal;
use super::connection::{Limits, Link, Order, Pool, Via};
use super::endpoint::Location;
use super::replicas::Confirmation;
use super::scripts::Says;
use super::slots::{self, Address, Range, Redirect, SLOTS};
use super::string;
use crate::config::Tls;
use crate::sync::lock;

/// One request is sent to so many nodes before it is given up.
const MOST_HOPS: usize = 5;
/// Before a request is repeated whose keys lie half here and half there, doubling.
const FIRST_REST: Duration = Duration::from_millis(4);
/// As often that is done.
const MOST_RESTS: u32 = 3;
/// Between two questions where the slots are, doubling while nothing new is learned.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Between two warnings that slots are not served.
const TOLD_AGAIN: Duration = Duration::from_secs(60);
/// So many nodes are asked at once where the slots are, and so many times others where none of them knows.
const ASKED_AT_ONCE: usize = 8;
const MOST_ROUNDS: usize = 3;

pub(super) struct Cluster {
    /// How every node is reached, but for its address.
    info: ConnectionInfo,
    pub(super) limits: Limits,
    tls: Tls,
    /// What invalidations wait for on each of them.
    pub(super) confirmation: Option<Confirmation>,
    seeds: Vec<Address>,
    map: RwLock<Arc<Map>>,
    refresh: Mutex<Refresh>,
    /// Whether it was told that no node can be asked, so that each change is told once.
    lost: AtomicBool,
    /// When it was last told that a node does not serve a slot.
    told: Mutex<Option<Instant>>,
}

/// Who has which slot, as far as is known.
#[derive(Clone, Default)]
struct Map {
    /// Among them those that a slot is on its way to, and that have none yet.
    masters: Vec<Arc<Node>>,
    /// For each slot the place of its master among them.
    owners: Vec<Option<u16>>,
    replicas: Vec<Address>,
}

struct Node {
    address: Address,
    link: Arc<Link>,
}

struct Refresh {
    /// Until then one is under way, unless its runtime has ended.
    until: Instant,
    /// Not before that.
    next: Instant,
    pause: Duration,
}

impl Cluster {
    pub(super) fn new(
        seeds: Vec<ConnectionInfo>,
        limits: Limits,
        tls: &Tls,
        confirmation: Option<Confirmation>,
    ) -> Result<Self, RedisError> {
        let addresses = seeds.iter().filter_map(|seed| address(seed.addr())).collect();
        let info = seeds.into_iter().next().ok_or_else(|| {
            RedisError::from((::redis::ErrorKind::InvalidClientConfig, "it names no node"))
        })?;
        // What is wrong with the certificates is known here.
        Link::new(Location::Server(Box::new(info.clone())), limits, tls, None)?;
        let now = Instant::now();
        Ok(Self {
            info,
            limits,
            tls: tls.clone(),
            confirmation,
            seeds: addresses,
            map: RwLock::default(),
            refresh: Mutex::new(Refresh { until: now, next: now, pause: FIRST_PAUSE }),
            lost: AtomicBool::new(false),
            told: Mutex::default(),
        })
    }

    /// What is stored under a name.
    pub(super) async fn read(
        self: &Arc<Self>,
        name: &str,
        deadline: Instant,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut get = ::redis::cmd("GET");
        get.arg(name);
        let order = Order::Read(&get, Says::Value);
        let (reply, _) = self.carry_out(name, order, Via::LaneOf(name), deadline).await?;
        Ok(string(reply)?.map(Bytes::from))
    }

    /// Has something done by the node that has the key, wherever that is by now.
    pub(super) async fn carry_out(
        self: &Arc<Self>,
        name: &str,
        order: Order<'_>,
        via: Via<'_>,
        deadline: Instant,
    ) -> Result<(Value, Arc<Pool>), StoreError> {
        let slot = slots::slot_of(name);
        let mut asked: Option<Arc<Node>> = None;
        let mut rests = Rests(0);
        let mut said = String::new();
        for _ in 0..MOST_HOPS + MOST_RESTS as usize {
            let asking = asked.is_some();
            let node = match asked.take() {
                Some(node) => node,
                None => self.node_of(slot)?,
            };
            let text = match node.link.carry_out(&order, via, asking, deadline).await {
                Err(StoreError::Server(text)) => text,
                Err(error) => {
                    // It may have been replaced.
                    self.refresh_behind();
                    return Err(error);
                }
                Ok(answer) => return Ok(answer),
            };
            match Redirect::of(&text, &node.address) {
                None => return Err(StoreError::Server(text)),
                Some(Redirect::Moved(slot, Some(to))) => {
                    let owner = self.meet(to, Some(slot))?;
                    self.refresh_by(Some(&owner.address));
                }
                Some(Redirect::Ask(Some(to))) => asked = Some(self.meet(to, None)?),
                // What is asked for behind this says where they are.
                Some(Redirect::Moved(_, None)) => {
                    self.refresh_behind();
                    rests.one(deadline).await?;
                }
                Some(Redirect::Ask(None) | Redirect::TryAgain) => rests.one(deadline).await?,
                Some(Redirect::Down | Redirect::ReadOnly) => {
                    self.tell_of(&text);
                    self.refresh_behind();
                    return Err(unserved(&text));
                }
            }
            said = text;
        }
        Err(unserved(&said))
    }

    pub(super) fn link_of(self: &Arc<Self>, slot: u16) -> Result<Arc<Link>, StoreError> {
        self.node_of(slot).map(|node| Arc::clone(&node.link))
    }

    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        self.map().masters.iter().map(|node| Arc::clone(&node.link)).collect()
    }

    pub(super) fn is_on(&self, slot: u16, link: &Arc<Link>) -> bool {
        self.map().owner(slot).is_some_and(|owner| Arc::ptr_eq(&owner.link, link))
    }

    fn node_of(self: &Arc<Self>, slot: u16) -> Result<Arc<Node>, StoreError> {
        let known = self.map().owner(slot).cloned();
        known.ok_or_else(|| {
            self.refresh_behind();
            StoreError::Unconnected("no node of the cluster is known to have this key".to_owned())
        })
    }

    fn map(&self) -> Arc<Map> {
        Arc::clone(&self.map.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Takes note of a master, and that it has a slot by now.
    fn meet(&self, address: Address, has: Option<u16>) -> Result<Arc<Node>, StoreError> {
        let is_noted = |map: &Map| {
            let node = map.master_at(&address)?;
            let noted =
                has.is_none_or(|slot| map.owner(slot).is_some_and(|own| Arc::ptr_eq(own, &node)));
            noted.then_some(node)
        };
        if let Some(node) = is_noted(&self.map()) {
            return Ok(node);
        }
        // Of many who are told so at once, the first one notes it.
        let mut map = self.map.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(node) = is_noted(&map) {
            return Ok(node);
        }
        let node = map.master_at(&address).map_or_else(|| self.node_to(address), Ok)?;
        let mut patched = Map::clone(&map);
        match has {
            Some(slot) => patched.give(slot, slot, &node),
            None => patched.masters.push(Arc::clone(&node)),
        }
        *map = Arc::new(patched);
        Ok(node)
    }

    fn node_to(&self, address: Address) -> Result<Arc<Node>, StoreError> {
        let link =
            self.link_to(&address).map_err(|error| StoreError::Unconnected(error.to_string()))?;
        Ok(Arc::new(Node { address, link: Arc::new(link) }))
    }

    fn link_to(&self, address: &Address) -> Result<Link, RedisError> {
        let Address { host, port } = address.clone();
        let place = match self.info.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        let at = Location::Server(Box::new(self.info.clone().set_addr(place)));
        Link::new(at, self.limits, &self.tls, self.confirmation.clone())
    }

    fn tell_of(&self, said: &str) {
        let now = Instant::now();
        let mut told = lock(&self.told);
        if told.is_some_and(|told| now < told + TOLD_AGAIN) {
            return;
        }
        *told = Some(now);
        tracing::warn!(
            target: "redis_cached", said,
            "the cluster does not serve all of its slots; cached functions whose keys are there run their bodies"
        );
    }

    /// Asks where the slots are, behind whoever has met trouble. One question at a time, and not at every trouble.
    pub(super) fn refresh_behind(self: &Arc<Self>) {
        self.refresh_by(None);
    }

    /// The same; a node that has just got a slot knows of it, and others may not yet.
    fn refresh_by(self: &Arc<Self>, first: Option<&Address>) {
        // Outside of one there is no trouble with a server.
        if Handle::try_current().is_err() {
            return;
        }
        let now = Instant::now();
        let begins = {
            let mut refresh = lock(&self.refresh);
            if now < refresh.until {
                return;
            }
            let begins = refresh.next.max(now);
            refresh.until = begins + self.longest_refresh();
            begins
        };
        let (cluster, first) = (Arc::clone(self), first.cloned());
        tokio::spawn(async move {
            tokio::time::sleep_until(begins).await;
            let longest = cluster.longest_refresh();
            let found = tokio::time::timeout(longest, cluster.find_by(first)).await;
            let changed = matches!(found, Ok(Ok(true)));
            let mut refresh = lock(&cluster.refresh);
            refresh.pause =
                if changed { FIRST_PAUSE } else { (refresh.pause * 2).min(LONGEST_PAUSE) };
            let now = Instant::now();
            refresh.next = now + refresh.pause.mul_f64(0.75 + fastrand::f64() / 2.0);
            refresh.until = now;
        });
    }

    fn longest_refresh(&self) -> Duration {
        2 * (self.limits.connect + self.limits.deadline)
    }

    /// Asks nodes where the slots are; the first that knows is believed, and corrected by the nodes themselves. Says
    /// whether that is news.
    pub(super) async fn find(self: &Arc<Self>) -> Result<bool, Refusal> {
        self.find_by(None).await
    }

    async fn find_by(self: &Arc<Self>, first: Option<Address>) -> Result<bool, Refusal> {
        let found = self.learn_of_any(first).await;
        match &found {
            Ok(_) if self.lost.swap(false, Ordering::AcqRel) => {
                tracing::info!(target: "redis_cached", "nodes of the cluster can be asked again");
            }
            Err(refusal) if !self.lost.swap(true, Ordering::AcqRel) => {
                tracing::warn!(
                    target: "redis_cached", why = refusal.text(),
                    "no node tells where the slots of the cluster are; until one does, cached functions run their \
                     bodies where that is not known"
                );
            }
            _ => {}
        }
        found
    }

    async fn learn_of_any(self: &Arc<Self>, first: Option<Address>) -> Result<bool, Refusal> {
        if let Some(first) = first
            && let Ok(ranges) = Arc::clone(self).said_by(first).await
        {
            return Ok(self.learn(ranges));
        }
        let mut refused = Refusal::Unreachable("no node of the cluster answers".to_owned());
        for some in self.to_ask().chunks(ASKED_AT_ONCE).take(MOST_ROUNDS) {
            let mut under_way = JoinSet::new();
            for address in some.iter().cloned() {
                under_way.spawn(Arc::clone(self).said_by(address));
            }
            while let Some(said) = under_way.join_next().await {
                match said {
                    Ok(Ok(ranges)) => return Ok(self.learn(ranges)),
                    // What an operator has to mend is worth more than that another node is away.
                    Ok(Err(Refusal::Unreachable(_))) | Err(_) => {}
                    Ok(Err(refusal)) => refused = refusal,
                }
            }
        }
        Err(refused)
    }

    /// Some of the nodes that are known, and those that the url names.
    fn to_ask(&self) -> Vec<Address> {
        let map = self.map();
        let masters = map.masters.iter().map(|node| &node.address);
        let mut known: Vec<Address> = masters.chain(&map.replicas).cloned().collect();
        fastrand::shuffle(&mut known);
        // So that a cluster of which nobody known is left is found again in the first round.
        known.truncate(ASKED_AT_ONCE - self.seeds.len().clamp(1, ASKED_AT_ONCE / 2));
        known.extend(self.seeds.iter().cloned());
        let mut seen = HashSet::new();
        known.retain(|address| seen.insert(address.clone()));
        known
    }

    async fn said_by(self: Arc<Self>, address: Address) -> Result<Vec<Range>, Refusal> {
        let unreachable = |error: StoreError| Refusal::Unreachable(error.to_string());
        let mut ask = ::redis::cmd("CLUSTER");
        ask.arg("SLOTS");
        let said = match self.map().master_at(&address) {
            Some(master) => master.link.inquire(&ask).await,
            None => {
                self.node_to(address.clone()).map_err(unreachable)?.link.inquire_once(&ask).await
            }
        };
        match said {
            Ok(reply) => slots::ranges(&reply, &address).ok_or_else(|| {
                Refusal::Unreachable("a node knows of no slots of its cluster yet".to_owned())
            }),
            Err(Refusal::Other(text)) if text.contains("cluster support disabled") => {
                Err(Refusal::Url(
                    "the server is not a node of a cluster: write `redis://`, or `rediss://`",
                ))
            }
            Err(refusal) => Err(refusal),
        }
    }

    /// Takes over what a node says. Whoever has no slot any more loses its connections.
    fn learn(&self, ranges: Vec<Range>) -> bool {
        let mut map = Map::default();
        let mut known = self.map.write().unwrap_or_else(PoisonError::into_inner);
        for Range { first, last, master, replicas } in ranges {
            // Reached as before, where it was.
            let met = map.master_at(&master).or_else(|| known.master_at(&master));
            if let Ok(node) = met.map_or_else(|| self.node_to(master), Ok) {
                map.give(first, last, &node);
            }
            map.replicas.extend(replicas);
        }
        let changed = !known.is_as(&map);
        *known = Arc::new(map);
        drop(known);
        if changed {
            tracing::debug!(target: "redis_cached", "the cluster's slots are known anew");
        }
        changed
    }
}

impl Map {
    fn owner(&self, slot: u16) -> Option<&Arc<Node>> {
        let place = (*self.owners.get(usize::from(slot))?)?;
        self.masters.get(usize::from(place))
    }

    fn master_at(&self, address: &Address) -> Option<Arc<Node>> {
        self.masters.iter().find(|node| node.address == *address).cloned()
    }

    fn give(&mut self, first: u16, last: u16, node: &Arc<Node>) {
        let known = self.masters.iter().position(|known| known.address == node.address);
        let place = known.unwrap_or(self.masters.len());
        let Ok(number) = u16::try_from(place) else { return };
        if known.is_none() {
            self.masters.push(Arc::clone(node));
        }
        self.owners.resize(usize::from(SLOTS), None);
        if let Some(owners) = self.owners.get_mut(usize::from(first)..=usize::from(last)) {
            owners.fill(Some(number));
        }
    }

    fn is_as(&self, other: &Self) -> bool {
        (0..SLOTS).all(|slot| {
            let (one, other) = (self.owner(slot), other.owner(slot));
            one.map(|node| &node.address) == other.map(|node| &node.address)
        })
    }
}

fn address(of: &ConnectionAddr) -> Option<Address> {
    match of {
        ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. } => {
            Some(Address { host: host.clone(), port: *port })
        }
        _ => None,
    }
}

/// How often a request has waited for a slot to arrive.
struct Rests(u32);

impl Rests {
    async fn one(&mut self, deadline: Instant) -> Result<(), StoreError> {
        let until = Instant::now() + FIRST_REST * 2_u32.pow(self.0);
        if self.0 == MOST_RESTS || until >= deadline {
            return Err(StoreError::Moving);
        }
        self.0 += 1;
        tokio::time::sleep_until(until).await;
        Ok(())
    }
}

/// As if the server were away: a cluster that is not whole, or a slot that is on its way, ends by itself.
fn unserved(said: &str) -> StoreError {
    StoreError::Unconnected(format!("the cluster does not serve this key at the moment: {said}"))
}
