//! The mail server's side of a run: sessions as they were planned, each answer held against the oracle.

use crate::{
    ground::Ground,
    oracle::{self, Answer},
    plan::{Course, Message, Session},
    sluggish::Sluggish,
    stages::{Effect, STAGES},
};
use std::{
    io,
    rc::Rc,
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpStream, UnixStream},
    time::{sleep, sleep_until},
};
use wasmilter_tests::fake_mta::{FakeMta, Flavour, Mail, Offer, Writing};

/// Slower answers are wrong, whatever they say: Sendmail waits 10 s from one sign of life to the next; busy machines get more.
const PATIENCE: Duration = Duration::from_secs(30);
/// How the plan's numbers of connections are made different between warming up and the run.
pub(crate) const WARM_UP: u32 = 1 << 16;

/// Session after session, as long as there is time.
pub(crate) async fn connection(ground: Rc<Ground>, seed: u64, number: u32) {
    let mut session = 0;
    while ground.pace.goes_on() {
        let plan = Session::of(seed, number, session);
        if let Err(error) = run(&ground, &plan).await {
            ground.tally.borrow_mut().wrong(format!("session {session} of connection {number}: {error}"));
        }
        session += 1;
    }
}

async fn run(ground: &Ground, plan: &Session) -> io::Result<()> {
    let mut mta = open(ground, plan).await?;
    let refused = mta.greet("192.0.2.1").await?;
    if let Some(refused) = refused {
        return Err(io::Error::other(format!("refused at the greeting: {refused:?}")));
    }
    for message in &plan.messages {
        if !ground.pace.turn().await {
            break;
        }
        sleep(message.idle).await;
        ground.tally.borrow_mut().course(message.course);
        let mail = message.mail(&ground.corpus);
        let named = |error| io::Error::other(format!("{}: {error}", message.name));
        match message.course {
            Course::Whole => whole(ground, plan, message, &mail, &mut mta).await.map_err(named)?,
            Course::Abort(phase) => {
                mta.begin(&mail, phase).await.map_err(named)?;
                mta.abort().await.map_err(named)?;
                ground.tally.borrow_mut().aborted += 1;
            }
            Course::Vanish(b'E') => {
                mta.begin(&mail, b'B').await.map_err(named)?;
                mta.queue(b'E', b"");
                mta.flush().await.map_err(named)?;
                sleep(Duration::from_millis(u64::from(message.name.session % 30))).await;
                ground.tally.borrow_mut().perhaps_judged(message);
                return Ok(());
            }
            Course::Vanish(phase) | Course::Cut(phase) => {
                mta.begin(&mail, phase).await.map_err(named)?;
                if matches!(message.course, Course::Cut(_)) {
                    mta.raw(&[0, 0, 1, 0, b'B', b'x']).await.map_err(named)?;
                }
                ground.tally.borrow_mut().perhaps_aborted += 1;
                return Ok(());
            }
            Course::Garbage(phase) => {
                mta.begin(&mail, phase).await.map_err(named)?;
                mta.raw(&[0, 0, 0, 0]).await.map_err(named)?;
                {
                    let mut tally = ground.tally.borrow_mut();
                    tally.protocol_errors += 1;
                    tally.aborted += 1;
                }
                return mta.closed().await.map_err(named);
            }
            Course::HalfClose => {
                mta.begin(&mail, b'B').await.map_err(named)?;
                ground.tally.borrow_mut().perhaps_judged(message);
                mta.end_and_close_one_side().await.map_err(named)?;
                // An answer may still come; then the end of the stream.
                loop {
                    match mta.reply().await {
                        Ok(_) => {}
                        Err(error) if error.kind() == io::ErrorKind::TimedOut => return Err(named(error)),
                        Err(_) => return Ok(()),
                    }
                }
            }
        }
    }
    mta.quit().await
}

/// A message to its answer, which must be one of the legal ones.
async fn whole(ground: &Ground, plan: &Session, message: &Message, mail: &Mail, mta: &mut FakeMta) -> io::Result<()> {
    let before = ground.known.before();
    let started = Instant::now();
    let outcome = mta.send(mail).await?;
    let took = started.elapsed();
    let world = ground.known.world(&before);
    let legal = oracle::judgements(message, &world);
    let mut tally = ground.tally.borrow_mut();
    match oracle::check(&legal, mail, &outcome, plan.flavour, mta.leading_space()) {
        Ok(judgement) => {
            let scanned = |(index, verdict): &(usize, Option<&str>)| {
                verdict.is_some() && STAGES.get(*index).is_some_and(|stage| stage.effect == Effect::Scans)
            };
            if judgement.counted.iter().any(scanned) {
                ground.known.scanned(&before);
            }
            tally.answered(judgement);
            let undisturbed =
                !plan.sluggish && plan.pieces.is_none() && matches!(judgement.answer, Answer::Passed { .. });
            if undisturbed && message.asks.is_empty() {
                tally.took(took);
            }
        }
        Err(complaint) => {
            let asked: Vec<&str> = message.stages().map(|stage| stage.name).collect();
            tally.wrong(format!("{} ({asked:?}, {:?}): {complaint}", message.name, plan.flavour));
        }
    }
    Ok(())
}

async fn open(ground: &Ground, plan: &Session) -> io::Result<FakeMta> {
    ground.tally.borrow_mut().connections += 1;
    let mut mta = match (plan.tcp, plan.sluggish) {
        (false, false) => FakeMta::over(UnixStream::connect(&ground.unix).await?, plan.flavour),
        (false, true) => FakeMta::over(Sluggish::new(UnixStream::connect(&ground.unix).await?), plan.flavour),
        (true, false) => FakeMta::over(tcp(ground).await?, plan.flavour),
        (true, true) => FakeMta::over(Sluggish::new(tcp(ground).await?), plan.flavour),
    };
    mta.patience = PATIENCE;
    mta.negotiate(Offer::V6).await?;
    Ok(match plan.pieces {
        Some(seed) => mta.writing(Writing::Pieces(seed)),
        None => mta,
    })
}

async fn tcp(ground: &Ground) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(ground.tcp).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Connections that are left half open, one after the other: without a word, after negotiation, in the middle of a command.
pub(crate) async fn lingering(ground: Rc<Ground>, seed: u64, number: u32) {
    let mut random = fastrand::Rng::with_seed(seed ^ (u64::from(number) << 40));
    while ground.pace.goes_on() {
        let lingered = linger(&ground, &mut random).await;
        if let Err(error) = lingered {
            ground.tally.borrow_mut().wrong(format!("a connection that lingers: {error}"));
        }
    }
}

async fn linger(ground: &Ground, random: &mut fastrand::Rng) -> io::Result<()> {
    ground.tally.borrow_mut().connections += 1;
    let mut mta = if random.bool() {
        FakeMta::over(UnixStream::connect(&ground.unix).await?, Flavour::Postfix)
    } else {
        FakeMta::over(tcp(ground).await?, Flavour::Sendmail)
    };
    mta.patience = PATIENCE;
    let kind = random.u32(0..3);
    if kind > 0 {
        mta.negotiate(Offer::V6).await?;
    }
    if kind > 1 {
        mta.raw(&[0, 0, 0]).await?;
    }
    let until = Instant::now() + Duration::from_millis(random.u64(3_000..30_000));
    sleep_until(until.min(ground.pace.end()).into()).await;
    Ok(())
}
