//! The door is replaced while connections are open (a reload): who judges what, and when the old door is let go.

use crate::{
    fake_mta::{FakeMta, Flavour, Mail, Offer},
    script::{EVERYTHING, MESSAGE, Script, Scripted, eventually},
};
use std::sync::Arc;
use tokio::sync::watch;
use wasmilter_message::{body::InMemory, judge::Needs};
use wasmilter_milter::{Door, Listener, Metrics, Opening, Settings, serve_doors};

/// A listener whose door can be replaced.
struct House {
    address: String,
    doors: watch::Sender<Arc<Door>>,
    metrics: Arc<Metrics>,
    opening: watch::Sender<Opening>,
    listener: Listener,
    served: tokio::task::JoinHandle<std::io::Result<()>>,
}

fn door(script: &Arc<Script>, metrics: &Arc<Metrics>) -> Arc<Door> {
    Arc::new(Door {
        judge: Arc::new(Scripted(Arc::clone(script))),
        store: Arc::new(InMemory),
        settings: Arc::new(Settings::default()),
        metrics: Arc::clone(metrics),
    })
}

impl House {
    fn open(script: &Arc<Script>) -> Self {
        Self::open_at(script, Listener::bind(&"inet:127.0.0.1:0".parse().unwrap()).unwrap())
    }

    fn open_at(script: &Arc<Script>, listener: Listener) -> Self {
        let address = listener.address().to_string();
        let metrics = Arc::new(Metrics::register(&prometheus::Registry::new()).unwrap());
        let (doors, receiver) = watch::channel(door(script, &metrics));
        let (opening, seen) = watch::channel(Opening::Open);
        let served = tokio::spawn(serve_doors(listener.try_clone().unwrap(), receiver, seen));
        Self { address, doors, metrics, opening, listener, served }
    }

    fn replace(&self, script: &Arc<Script>) {
        self.doors.send_replace(door(script, &self.metrics));
    }

    async fn mta(&self, flavour: Flavour) -> FakeMta {
        FakeMta::connect(&self.address, flavour, Offer::V6).await.unwrap()
    }

    async fn greeted(&self, flavour: Flavour) -> FakeMta {
        let mut mta = self.mta(flavour).await;
        assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
        mta
    }
}

fn mail() -> Mail {
    Mail::new(&[("From", " a@example.org")], "body\r\n")
}

fn script(needs: Needs) -> Arc<Script> {
    Arc::new(Script::accepting(needs))
}

fn judged(script: &Script) -> usize {
    script.messages.lock().unwrap().len()
}

/// Asked at MAIL, which makes the mail server wait: the transaction has begun when it goes on.
const AT_MAIL: Needs = Needs { mail: true, ..MESSAGE };

#[tokio::test]
async fn a_transaction_ends_with_its_door_and_the_next_takes_the_new_one() {
    for flavour in [Flavour::Postfix, Flavour::Sendmail] {
        let (old, new) = (script(AT_MAIL), script(AT_MAIL));
        let house = House::open(&old);
        let mut mta = house.greeted(flavour).await;
        mta.command(b'M', b"<a@example.org>\0").await.unwrap();
        mta.command(b'R', b"<b@example.net>\0").await.unwrap();
        house.replace(&new);
        mta.command(b'L', b"Subject\0 x\0").await.unwrap();
        mta.command(b'B', b"body\r\n").await.unwrap();
        assert_eq!(mta.end_of_message().await.unwrap().reply.command, b'a');
        assert_eq!((judged(&old), judged(&new)), (1, 0), "{flavour:?}");
        // Between two transactions, without a word of the mail server.
        eventually("the old door is let go", || Arc::strong_count(&old) == 1).await;
        assert_eq!(mta.send(&mail()).await.unwrap().reply.command, b'a');
        assert_eq!((judged(&old), judged(&new)), (1, 1), "{flavour:?}");
    }
}

#[tokio::test]
async fn a_transaction_that_is_given_up_makes_way_too() {
    let (old, new) = (script(AT_MAIL), script(AT_MAIL));
    let house = House::open(&old);
    let mut mta = house.greeted(Flavour::Sendmail).await;
    mta.command(b'M', b"<a@example.org>\0").await.unwrap();
    house.replace(&new);
    // Sendmail begins the next without an abort.
    assert_eq!(mta.send(&mail()).await.unwrap().reply.command, b'a');
    assert_eq!((judged(&old), judged(&new)), (0, 1));
}

#[tokio::test]
async fn a_connection_that_did_not_negotiate_what_the_new_judge_needs_stays_with_the_old_one() {
    let (old, new) = (script(MESSAGE), script(Needs { rcpt: true, ..MESSAGE }));
    let house = House::open(&old);
    let mut mta = house.greeted(Flavour::Postfix).await;
    house.replace(&new);
    for _ in 0..2 {
        assert_eq!(mta.send(&mail()).await.unwrap().reply.command, b'a');
    }
    assert_eq!((judged(&old), judged(&new)), (2, 0));
    let mut other = house.greeted(Flavour::Postfix).await;
    assert_eq!(other.send(&mail()).await.unwrap().reply.command, b'a');
    assert_eq!((judged(&old), judged(&new), new.hooks.lock().unwrap().len()), (2, 1, 1), "a new connection takes it");
    mta.quit().await.unwrap();
    eventually("the old door goes with its last connection", || Arc::strong_count(&old) == 1).await;
    // A third door that needs less is for everybody.
    let third = script(MESSAGE);
    house.replace(&third);
    eventually("the second is let go", || Arc::strong_count(&new) == 1).await;
    assert_eq!(other.send(&mail()).await.unwrap().reply.command, b'a');
    assert_eq!(judged(&third), 1);
}

#[tokio::test]
async fn what_hooks_said_of_the_session_is_not_mixed_with_another_judge() {
    for (before, after) in [(EVERYTHING, MESSAGE), (EVERYTHING, EVERYTHING)] {
        let (old, new) = (script(before), script(after));
        let house = House::open(&old);
        let mut mta = house.greeted(Flavour::Postfix).await;
        house.replace(&new);
        assert_eq!(mta.send(&mail()).await.unwrap().reply.command, b'a');
        assert_eq!((judged(&old), judged(&new)), (1, 0), "the hooks at CONNECT and HELO were the old judge's");
        mta.quit().await.unwrap();
        eventually("the old door is let go", || Arc::strong_count(&old) == 1).await;
    }
}

#[tokio::test]
async fn before_connect_a_negotiated_connection_moves_as_well() {
    let (old, new) = (script(EVERYTHING), script(EVERYTHING));
    let house = House::open(&old);
    let mut mta = house.mta(Flavour::Postfix).await;
    house.replace(&new);
    eventually("the old door is let go", || Arc::strong_count(&old) == 1).await;
    assert_eq!(mta.greet("192.0.2.1").await.unwrap(), None);
    assert_eq!(mta.send(&mail()).await.unwrap().reply.command, b'a');
    assert_eq!((judged(&old), judged(&new)), (0, 1));
    assert_eq!(new.hooks.lock().unwrap().len(), 4, "connect, HELO, MAIL, RCPT");
}

/// An upgrade: the next process accepts from the same socket, and sessions of this one go on as long as they like.
#[tokio::test]
async fn sessions_of_a_door_that_was_handed_over_go_on_to_their_end() {
    let (old, new) = (script(MESSAGE), script(MESSAGE));
    let house = House::open(&old);
    let mut staying = house.greeted(Flavour::Postfix).await;
    let mut closed_in_the_end = house.greeted(Flavour::Sendmail).await;
    staying.send(&mail()).await.unwrap();

    let successor = House::open_at(&new, Listener::adopt(house.listener.descriptor().unwrap(), false).unwrap());
    house.opening.send_replace(Opening::HandedOver);
    for _ in 0..3 {
        staying.send(&mail()).await.unwrap();
    }
    assert_eq!((judged(&old), judged(&new)), (4, 0));
    for _ in 0..20 {
        let mut next = successor.greeted(Flavour::Postfix).await;
        next.send(&mail()).await.unwrap();
    }
    assert_eq!((judged(&old), judged(&new)), (4, 20), "nobody else accepts any more");
    staying.quit().await.unwrap();
    assert!(!house.served.is_finished(), "one is still there");
    house.opening.send_replace(Opening::Closed);
    closed_in_the_end.closed().await.unwrap();
    house.served.await.unwrap().unwrap();
    let mut next = successor.greeted(Flavour::Postfix).await;
    assert_eq!(next.send(&mail()).await.unwrap().reply.command, b'a');
}

#[tokio::test]
async fn a_door_that_was_handed_over_ends_with_its_last_session() {
    let old = script(MESSAGE);
    let house = House::open(&old);
    let session = house.greeted(Flavour::Postfix).await;
    house.opening.send_replace(Opening::HandedOver);
    session.quit().await.unwrap();
    house.served.await.unwrap().unwrap();
}
