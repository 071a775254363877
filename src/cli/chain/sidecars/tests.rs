use super::*;

#[test]
fn another_question_is_another_life_and_another_pace_is_not() {
    let argv = |program: &str| vec![program.to_owned()];
    let asks = |argv| Liveness::new(AliveWhen::Answers(Check::Command { argv }));
    let life = |liveness: &Liveness| format!("{:?}", watched(liveness));
    let before = asks(argv("true"));
    assert_ne!(life(&before), life(&asks(argv("false"))));
    let mut slower = before.clone();
    slower.every *= 2;
    slower.failures += 1;
    assert_eq!(life(&before), life(&slower));
    let dog = Liveness::new(AliveWhen::Watchdog);
    let mut patient = dog.clone();
    patient.every *= 2;
    assert_ne!(life(&dog), life(&patient), "it is told how often to bark");
}
