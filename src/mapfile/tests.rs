use super::exact::ExactIndex;
use proptest::prelude::*;

proptest! {
    /// Cells of two letters have the same ends often, at lengths on both sides of those that are held whole.
    #[test]
    fn an_exact_index_equals_a_scan(
        columns in 1usize..12,
        pool in prop::collection::vec("[ab]{0,18}", 1..6),
        picks in prop::collection::vec(prop::collection::vec(any::<prop::sample::Index>(), 12), 1..40),
    ) {
        let rows: Vec<Vec<&str>> = picks.iter().map(|row| row[..columns].iter().map(|i| i.get(&pool).as_str()).collect()).collect();
        let inserted = &rows[..rows.len().div_ceil(2)];
        let mut index = ExactIndex::new((0..columns).map(|column| (column, column % 2 == 1)).collect());
        for (number, row) in inserted.iter().enumerate() {
            index.insert(row, number as u32);
        }
        for row in &rows {
            let values: Vec<Option<&[u8]>> = row.iter().map(|cell| Some(cell.as_bytes())).collect();
            let folded: Vec<Option<String>> = row.iter().map(|cell| Some((*cell).to_owned())).collect();
            let found = index.find(&values, &folded).map_or(Vec::new(), |rows| [&[rows.first()], index.more(rows)].concat());
            let want: Vec<u32> = (0..).zip(inserted).filter(|(_, own)| *own == row).map(|(number, _)| number).collect();
            prop_assert_eq!(found, want);
            for absent in 0..columns {
                let (mut values, mut folded) = (values.clone(), folded.clone());
                (values[absent], folded[absent]) = (None, None);
                prop_assert!(index.find(&values, &folded).is_none());
            }
        }
    }
}
