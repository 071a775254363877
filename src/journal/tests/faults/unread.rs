//! A disk that cannot be read.

use super::*;

#[test]
fn a_disk_that_cannot_be_read_now_is_no_damaged_effect() {
    let mut rig = Rig::new(&small(Sync::Always));
    rig.commit(vec![Entry::Effect(effect(0))])
        .expect("recorded");
    for (op, errno) in [(Op::Open, EMFILE), (Op::Read, EIO)] {
        fail(&rig.disk, op, (0, 1), errno);
        assert_eq!(rig.core.read(&[id(0)]), [Err(Unreadable)]);
        let stored = Stored { effect: effect(0) };
        assert_eq!(rig.core.read(&[id(0)]), [Ok(Some(stored))]);
    }
    assert_eq!(rig.core.read(&[id(1)]), [Ok(None)]);
}

#[test]
fn a_disk_that_cannot_be_read_is_no_end_of_the_log() {
    let config = small(Sync::Always);
    let mut rig = Rig::new(&config);
    for i in 0..20 {
        rig.commit(vec![Entry::Effect(effect(i))])
            .expect("recorded");
    }
    let image = rig.disk.files();
    for nth in 0..3 {
        let disk = Lying::holding(&image);
        fail(&disk, Op::Read, (nth, 1), EIO);
        let refused = Rig::open(&disk, &config).err();
        assert!(
            matches!(refused, Some(OpenError::Read { .. })),
            "{refused:?}"
        );
        assert_eq!(disk.files(), image, "nothing was touched");
    }
}
