use super::*;

type Numbers = Flights<&'static str, &'static str, u32>;

fn leader(flights: &Numbers) -> Leader<&'static str, &'static str, u32> {
    match flights.join(&"key") {
        Seat::Leader(leader) => leader,
        Seat::Waiter(_) => panic!("somebody leads already"),
    }
}

fn waiter(flights: &Numbers) -> Waiter<&'static str, &'static str, u32> {
    match flights.join(&"key") {
        Seat::Waiter(waiter) => waiter,
        Seat::Leader(_) => panic!("nobody leads"),
    }
}

const PATIENCE: Duration = Duration::from_secs(10);

fn shared<B>(landing: &Landing<&'static str, B, u32>) -> Option<u32> {
    match landing {
        Landing::Shared(outcome) => Some(*outcome),
        _ => None,
    }
}

#[tokio::test(start_paused = true)]
async fn who_joined_before_the_body_shares_and_who_came_later_does_not() {
    let flights = Numbers::default();
    let mut lead = leader(&flights);
    let early = waiter(&flights);
    lead.seal();
    let late = waiter(&flights);
    let also_late = waiter(&flights);
    lead.end(Some(7));
    assert_eq!(shared(&early.land(PATIENCE).await), Some(7));
    // Those who came too late form the next flight together.
    let Landing::TookOver(mut next) = late.land(PATIENCE).await else { panic!("no next leader") };
    drop(late);
    next.seal();
    next.end(Some(8));
    assert_eq!(shared(&also_late.land(PATIENCE).await), Some(8));
    drop((early, also_late));
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_leader_hands_its_baton_over_and_the_next_body_seals_again() {
    let flights = Numbers::default();
    let mut lead = leader(&flights);
    lead.seal();
    lead.baton = Some("lease");
    let (first, second) = (waiter(&flights), waiter(&flights));
    drop(lead);
    let Landing::TookOver(mut next) = first.land(PATIENCE).await else { panic!("no handover") };
    assert_eq!(next.baton, Some("lease"));
    next.seal();
    next.end(Some(8));
    // The second body began after the second waiter had joined.
    assert_eq!(shared(&second.land(PATIENCE).await), Some(8));
}

#[tokio::test(start_paused = true)]
async fn a_new_caller_may_take_over_what_a_dropped_leader_left() {
    let flights = Numbers::default();
    let mut lead = leader(&flights);
    lead.baton = Some("lease");
    let waiting = waiter(&flights);
    drop(lead);
    let mut next = leader(&flights);
    assert_eq!(next.baton, Some("lease"));
    next.seal();
    next.end(Some(9));
    assert_eq!(shared(&waiting.land(PATIENCE).await), Some(9));
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_never_polled_is_deposed_by_exactly_one_waiter() {
    let flights = Numbers::default();
    let mut stuck = leader(&flights);
    stuck.seal();
    let (first, second) = (waiter(&flights), waiter(&flights));
    let Landing::Deposed(mut next) = first.land(PATIENCE).await else { panic!("not deposed") };
    assert!(next.baton.is_none());
    next.seal();
    let (landing, ()) = tokio::join!(second.land(PATIENCE), async {
        tokio::task::yield_now().await;
        next.end(Some(3));
    });
    assert_eq!(shared(&landing), Some(3));
    // The old leader comes back to life: it ends nothing that is not its own.
    let other = leader(&flights);
    stuck.end(Some(1));
    assert_eq!(flights.len(), 1);
    drop(other);
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn patience_ends_also_when_leaders_keep_changing() {
    let flights = Numbers::default();
    let stuck = leader(&flights);
    let (first, second) = (waiter(&flights), waiter(&flights));
    let Landing::Deposed(also_stuck) = first.land(PATIENCE).await else { panic!("not deposed") };
    let landing = second.land(PATIENCE).await;
    assert!(matches!(landing, Landing::Deposed(_) | Landing::OutOfPatience));
    drop((stuck, also_stuck));
}

#[tokio::test(start_paused = true)]
async fn dropped_waiters_leave_nothing_behind() {
    let flights = Numbers::default();
    let lead = leader(&flights);
    let waiting = waiter(&flights);
    {
        let landing = waiting.land(PATIENCE);
        tokio::pin!(landing);
        assert!(tokio::time::timeout(Duration::from_millis(1), &mut landing).await.is_err());
    }
    drop(lead);
    drop(waiting);
    assert_eq!(flights.len(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_leader_is_followed_by_a_waiter_without_its_lease() {
    let flights = Numbers::default();
    let mut lead = leader(&flights);
    lead.baton = Some("lease");
    let waiting = waiter(&flights);
    let panicked = tokio::spawn(async move {
        let _lead = lead;
        panic!("the body's own panic");
    });
    assert!(panicked.await.is_err());
    let Landing::TookOver(next) = waiting.land(PATIENCE).await else { panic!("nobody follows") };
    assert_eq!(next.baton, None);
}
