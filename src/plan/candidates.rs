//! Rules that read one output share one look at each event: those that want a field to have a value get only the events that have it.
use std::collections::BTreeMap;

use super::bind::{Builder, Errors, PlannedNode, TargetPlan};
use super::lane::LaneInProgress;
use crate::component::view::View;
use crate::config::Node;
use crate::correlate::candidates::{Candidates, Wanted, wants};
use crate::expr;
use crate::limits::RULES_INDEXED_MIN;

impl Builder<'_, '_> {
    /// Leads an output to its rules, each with its tap: straight where they are few.
    pub(super) fn deal_to_rules(
        &mut self,
        output: &str,
        view: &View,
        progress: &mut LaneInProgress,
        rules: Vec<(&str, TargetPlan)>,
    ) -> Vec<TargetPlan> {
        let mut wanted: Vec<Vec<(String, Vec<Wanted>)>> = Vec::new();
        for (name, _) in &rules {
            let condition = self.graph.members[name].node.get("where").and_then(Node::text);
            wanted.push(condition.and_then(|text| expr::parse(&text).ok()).map_or(Vec::new(), |tree| wants(&tree)));
        }
        // Each rule goes by the field of which the most different values are wanted: it tells the rules apart best.
        let mut values: BTreeMap<&str, Vec<&Wanted>> = BTreeMap::new();
        for (field, all) in wanted.iter().flatten() {
            let of_field = values.entry(field).or_default();
            all.iter().for_each(|value| {
                if !of_field.contains(&value) {
                    of_field.push(value)
                }
            });
        }
        let name = format!("{output}.rules");
        let (mut index, mut outputs, mut straight) = (Candidates::default(), vec![Vec::new()], Vec::new());
        for ((_, tap), wanted) in rules.iter().zip(&wanted) {
            let best = wanted.iter().max_by_key(|(field, _)| values.get(field.as_str()).map(Vec::len));
            let found = best.and_then(|(field, values)| Some((view.read(&mut progress.lane, field, &name)?, values)));
            match found {
                Some((slot, values)) => {
                    index.add(slot, values, (outputs.len() - 1) as u16);
                    outputs.push(vec![*tap]);
                }
                None => straight.push(*tap),
            }
        }
        if outputs.len() <= RULES_INDEXED_MIN {
            return rules.into_iter().map(|(_, tap)| tap).collect();
        }
        straight.push(TargetPlan::Node(progress.nodes.len()));
        let factory = Box::new(move || Box::new(index.clone()) as Box<dyn crate::component::Operator>);
        progress.nodes.push(PlannedNode { name, factory, outputs, errors: Errors::Never, state: None });
        straight
    }
}
