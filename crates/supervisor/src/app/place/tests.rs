//! A place without processes: what happens is told to it, and the test has the clock in its hands.

use super::*;

const WORKERS: &[u32] = &[1, 2];

/// A place with a clock and numbers of its own.
struct Scene {
    place: Place,
    now: Instant,
    times: Timeouts,
    started: u32,
}

impl Scene {
    #[allow(clippy::disallowed_methods, reason = "some instant to begin with")]
    fn new() -> Self {
        let seconds = Duration::from_secs;
        let times = Timeouts { start: seconds(30), drain: seconds(20), stop: seconds(10) };
        Self { place: Place::default(), now: Instant::now(), times, started: 0 }
    }

    /// One that serves, whose number is 1.
    fn serving() -> Self {
        let mut scene = Self::new();
        scene.turn(&[Act::Start]);
        scene.ready(1);
        scene.turn(&[]);
        scene
    }

    #[track_caller]
    fn turn(&mut self, expected: &[Act]) {
        let acts = self.place.turn(self.now, true, &self.times);
        assert_eq!(acts, expected);
        for act in acts {
            if act == Act::Start {
                self.started += 1;
                self.place.started(self.started, self.now, &self.times);
            }
        }
    }

    fn ready(&mut self, number: u32) {
        self.place.ready(number, WORKERS, self.now, &self.times);
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn stage(&self, number: u32) -> Option<Stage> {
        self.place.stage_of(number)
    }

    /// The pause after the process of this number has ended.
    fn ended(&mut self, number: u32) -> Option<u128> {
        let ended = self.place.ended(number, "was killed by signal 9", self.now).unwrap();
        ended.pause.map(|pause| pause.as_millis())
    }
}

#[test]
fn a_process_that_ends_is_started_again_after_longer_and_longer_pauses() {
    let mut scene = Scene::new();
    let mut pauses = Vec::new();
    for number in 1..14 {
        scene.turn(&[Act::Start]);
        let pause = scene.ended(number).unwrap();
        pauses.push(pause);
        scene.turn(&[]);
        assert_eq!(scene.place.condition(), Condition::Waiting);
        assert_eq!(
            scene.place.next_turn(scene.now, true),
            Some(scene.now + Duration::from_millis(pause as u64))
        );
        scene.wait(pause as u64);
    }
    assert_eq!(pauses[..5], [100, 100, 200, 400, 800]);
    assert_eq!(pauses[12], 30_000);
    assert_eq!(scene.place.problem(), "it was killed by signal 9 before it was ready");
    scene.turn(&[Act::Start]);
    scene.ready(14);
    assert_eq!((scene.place.problem(), scene.place.condition()), ("", Condition::Ready));
    assert_eq!(scene.place.restarts(), 13);
    // It has run well for long enough.
    scene.wait(60_000);
    assert_eq!(scene.ended(14), Some(100));
    assert_eq!(scene.place.exits(), [13, 1, 0, 0]);
}

#[test]
fn one_that_does_not_become_ready_is_stopped_then_killed_and_tried_again() {
    let mut scene = Scene::new();
    scene.turn(&[Act::Start]);
    assert_eq!(scene.place.condition(), Condition::Starting);
    scene.wait(29_999);
    scene.turn(&[]);
    scene.wait(1);
    scene.turn(&[Act::Stop(1)]);
    assert_eq!(scene.place.problem(), "it was not ready within 30s");
    scene.ready(1);
    assert_eq!(scene.place.condition(), Condition::Waiting, "that comes too late");
    scene.wait(100);
    scene.turn(&[Act::Start]);
    scene.wait(9_900);
    scene.turn(&[Act::Kill(1)]);
    assert_eq!(scene.ended(1), None);
    scene.ready(2);
    assert_eq!(scene.place.exits(), [1, 0, 0, 0]);
}

#[test]
fn what_serves_is_replaced_once_its_successor_is_ready() {
    let mut scene = Scene::serving();
    scene.place.replace(scene.now, &scene.times);
    scene.turn(&[Act::Start]);
    assert!(scene.place.is_replacing());
    assert_eq!(scene.stage(1), Some(Stage::Ready), "it serves until then");
    scene.ready(2);
    let until = scene.now + scene.times.drain;
    assert_eq!(scene.stage(1), Some(Stage::Draining { until }));
    scene.place.drained(1, 2);
    scene.turn(&[]);
    scene.place.drained(1, 1);
    scene.turn(&[Act::Stop(1)]);
    assert_eq!(scene.ended(1), None);
    scene.turn(&[]);
    assert_eq!((scene.place.exits(), scene.place.restarts()), ([0, 0, 1, 0], 1));
    assert_eq!(scene.place.next_turn(scene.now, true), None);
}

#[test]
fn a_worker_that_dies_has_nothing_in_flight() {
    let mut scene = Scene::serving();
    scene.place.replace(scene.now, &scene.times);
    scene.turn(&[Act::Start]);
    scene.ready(2);
    scene.place.drained(1, 1);
    scene.place.worker_ended(2);
    scene.turn(&[Act::Stop(1)]);
}

#[test]
fn draining_and_stopping_have_their_time() {
    let mut scene = Scene::serving();
    scene.place.wear_out(|| {});
    scene.turn(&[Act::Start]);
    scene.ready(2);
    scene.wait(20_000);
    scene.turn(&[Act::Stop(1)]);
    scene.wait(10_000);
    scene.turn(&[Act::Kill(1)]);
    scene.wait(10_000);
    scene.turn(&[]);
    assert_eq!(scene.place.ended(1, "x", scene.now).unwrap().exit, Exit::Killed);
}

#[test]
fn a_successor_that_fails_leaves_the_one_that_serves() {
    let mut scene = Scene::serving();
    scene.place.replace(scene.now, &scene.times);
    scene.turn(&[Act::Start]);
    assert_eq!(scene.ended(2), Some(100));
    assert_eq!(scene.stage(1), Some(Stage::Ready));
    scene.turn(&[]);
    scene.wait(100);
    scene.turn(&[Act::Start]);
    // The old one dies meanwhile: the successor is on its way, and nothing else is started.
    assert_eq!(scene.ended(1), None);
    scene.turn(&[]);
    scene.ready(3);
    assert_eq!(scene.place.condition(), Condition::Ready);
}

#[test]
fn a_restart_takes_no_process_that_was_started_before_it() {
    let mut scene = Scene::serving();
    scene.place.replace(scene.now, &scene.times);
    scene.turn(&[Act::Start]);
    scene.place.replace(scene.now, &scene.times);
    scene.turn(&[Act::Stop(2), Act::Start]);
    assert_eq!(scene.ended(2), None);
    scene.ready(3);
    assert_eq!(scene.place.condition(), Condition::Ready);
}

#[test]
fn instances_are_replaced_only_when_it_is_their_turn() {
    let mut scene = Scene::serving();
    scene.place.replace(scene.now, &scene.times);
    assert_eq!(scene.place.turn(scene.now, false, &scene.times), []);
    scene.turn(&[Act::Start]);
}

#[test]
fn what_is_closed_ends_and_stays_so() {
    let mut scene = Scene::serving();
    scene.place.replace(scene.now, &scene.times);
    scene.turn(&[Act::Start]);
    scene.place.close(Some(WORKERS), scene.now, &scene.times);
    scene.turn(&[Act::Stop(2)]);
    assert!(matches!(scene.stage(1), Some(Stage::Draining { .. })));
    scene.place.close(None, scene.now, &scene.times);
    scene.turn(&[Act::Stop(1)]);
    assert_eq!(scene.place.condition(), Condition::Stopping);
    scene.place.hurry(scene.now);
    scene.turn(&[Act::Kill(2), Act::Kill(1)]);
    scene.ended(1);
    assert!(!scene.place.is_empty());
    scene.ended(2);
    scene.turn(&[]);
    assert!(scene.place.is_empty());
}
