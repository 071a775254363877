use super::*;
use crate::protocol::id::EffectId;

fn table(lanes: &[&str]) -> Vec<(i64, LaneKey)> {
    let lanes = lanes.iter().map(|lane| LaneKey::new(*lane));
    (1..).zip(lanes).collect()
}

/// Reads all that is wanted of `table`, as the database would.
fn read(taken: &mut Taken, table: &[(i64, LaneKey)]) -> Vec<i64> {
    read_sized(taken, table, 0)
}

/// The same with effects of so many bytes.
fn read_sized(taken: &mut Taken, table: &[(i64, LaneKey)], bytes: usize) -> Vec<i64> {
    let mut read = Vec::new();
    while let Some(wanted) = taken.wanted() {
        let rows = table.iter().filter(|(seq, lane)| {
            let is_lane = wanted.lane.as_ref().is_none_or(|wanted| wanted == lane);
            *seq > wanted.behind && is_lane && !wanted.except.contains(lane)
        });
        let fits = wanted.bytes.div_ceil(bytes.max(1)).max(1);
        let count = wanted.count.min(if bytes == 0 { usize::MAX } else { fits });
        let rows: Vec<Waiting> = rows
            .take(count)
            .map(|(seq, lane)| Waiting {
                seq: *seq,
                id: EffectId::random(),
                lane: lane.clone(),
                effect: vec![0; bytes],
            })
            .collect();
        let is_end = rows.len() < count;
        let rows = taken.take(&wanted, Rows { rows, is_end });
        read.extend(rows.iter().map(|row| row.seq));
    }
    read
}

#[test]
fn a_lane_that_stands_still_holds_up_no_other_lane() {
    let mut lanes = vec!["stuck"; 5000];
    lanes.push("free");
    let mut taken = Taken::default();
    let read = read(&mut taken, &table(&lanes));
    assert_eq!(read.len(), LANE_MAX + 1);
    assert_eq!(read.last(), Some(&5001));
}

#[test]
fn large_rows_are_bounded_by_their_bytes_of_a_lane_and_of_all() {
    const MIB: usize = 1 << 20;
    let stuck = vec!["stuck"; 100];
    let mut taken = Taken::default();
    assert_eq!(
        read_sized(&mut taken, &table(&stuck), MIB / 4),
        [1, 2, 3, 4]
    );
    let lanes: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    let lanes: Vec<&str> = lanes.iter().map(String::as_str).collect();
    let mut taken = Taken::default();
    let all = read_sized(&mut taken, &table(&lanes), 3 * MIB);
    assert_eq!(all.len(), 16, "{} MiB", taken.bytes / MIB);
    taken.done(&Load {
        lane: LaneKey::new("0"),
        bytes: 3 * MIB,
    });
    assert_eq!(read_sized(&mut taken, &table(&lanes), 3 * MIB), [17]);
}

#[test]
fn every_row_is_taken_once_and_each_lane_in_order() {
    let names = ["a", "a", "a", "b", "a", "c"];
    let lanes: Vec<&str> = (0..6000).map(|n| names[n % names.len()]).collect();
    let mut table = table(&lanes);
    let mut taken = Taken::default();
    let mut seen: HashMap<LaneKey, Vec<i64>> = HashMap::new();
    loop {
        let read = read(&mut taken, &table);
        if read.is_empty() {
            break;
        }
        for seq in read {
            let index = usize::try_from(seq).unwrap() - 1;
            let lane = lanes[index];
            seen.entry(LaneKey::new(lane)).or_default().push(seq);
            taken.done(&Load {
                lane: LaneKey::new(lane),
                bytes: 0,
            });
            table.retain(|(other, _)| *other != seq);
        }
    }
    for (key, seqs) in &seen {
        assert!(seqs.is_sorted(), "{key}");
    }
    assert_eq!(seen.values().map(Vec::len).sum::<usize>(), 6000);
    assert_eq!(taken.count, 0);
    taken.look_again();
    assert!(read(&mut taken, &table).is_empty());
    assert!(taken.lanes.is_empty(), "no lane is remembered for nothing");
}

#[test]
fn rows_that_come_later_are_read_once_somebody_says_so() {
    let mut taken = Taken::default();
    let mut rows = table(&["a", "b"]);
    assert_eq!(read(&mut taken, &rows), [1, 2]);
    rows.push((3, LaneKey::new("a")));
    assert!(read(&mut taken, &rows).is_empty());
    taken.look_again();
    assert_eq!(read(&mut taken, &rows), [3]);
}
