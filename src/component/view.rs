//! Names while a lane is bound: which slot holds a field's value at a place in the tree of operators.
//!
//! Each write of a name makes a new slot, so branches that share a batch never disturb each other. A name that nothing has written comes from the decoders
//! above, which are asked for it.
use std::cell::RefCell;
use std::rc::Rc;

use super::bind::Tables;
use super::source::FactNames;
use crate::codec::format::json_out::{EventWriter, OutField};
use crate::codec::format::{Shape, Wanted, WantedField, tag};
use crate::event::{Slot, Tags};
use crate::limits::{SLOTS_MAX, TAGS_MAX};

/// A decoder while it is planned.
#[derive(Debug)]
pub struct DecoderPlan {
    /// What it yields.
    pub shape: Shape,
    /// Names of [`Shape::Named`].
    pub names: Vec<String>,
    /// What it is asked for.
    pub wanted: Wanted,
    /// The node whose decoder it is.
    pub node: String,
}

impl DecoderPlan {
    fn may_yield(&self, name: &str) -> bool {
        match self.shape {
            Shape::Json => true,
            Shape::Flat(names, prefixes) => names.contains(&name) || prefixes.iter().any(|p| name.starts_with(p)),
            Shape::Named => self.names.iter().any(|n| n == name),
        }
    }
}

/// One lane: everything behind one source or rule.
#[derive(Debug, Default)]
pub struct Lane {
    /// Names of the slots, for `explain`.
    pub slots: Vec<SlotInfo>,
    /// Names of the tags, by bit.
    pub tags: Vec<String>,
    /// Decoders, by layer.
    pub decoders: Vec<Rc<RefCell<DecoderPlan>>>,
    /// What the source is asked for beside the bytes.
    pub facts: Vec<(String, Slot)>,
    /// Whether something was refused for want of room.
    pub is_full: bool,
}

/// A slot, for `explain`.
#[derive(Clone, Debug, Default)]
pub struct SlotInfo {
    /// The field.
    pub name: String,
    /// Nodes that read it.
    pub read_by: Vec<String>,
    /// The node that writes it.
    pub written_by: String,
}

impl Lane {
    /// A lane without decoders.
    pub fn new() -> Lane {
        Lane { tags: tag::NAMES.iter().map(|t| (*t).to_owned()).collect(), ..Lane::default() }
    }

    fn slot(&mut self, name: &str, writer: &str) -> Slot {
        if self.slots.len() >= SLOTS_MAX {
            self.is_full = true;
            return Slot(0);
        }
        self.slots.push(SlotInfo { name: name.to_owned(), read_by: Vec::new(), written_by: writer.to_owned() });
        Slot((self.slots.len() - 1) as u16)
    }

    /// The bit of a tag.
    pub fn tag(&mut self, name: &str) -> u32 {
        if let Some(bit) = self.tags.iter().position(|t| t == name) {
            return bit as u32;
        }
        if self.tags.len() >= TAGS_MAX {
            self.is_full = true;
            return 0;
        }
        self.tags.push(name.to_owned());
        (self.tags.len() - 1) as u32
    }

    /// The slot of a fact.
    fn fact(&mut self, name: &str, source: &str) -> Slot {
        if let Some((_, slot)) = self.facts.iter().find(|(n, _)| n == name) {
            return *slot;
        }
        let slot = self.slot(name, source);
        self.facts.push((name.to_owned(), slot));
        slot
    }

    /// Adds a decoder.
    pub fn add_decoder(&mut self, shape: Shape, names: Vec<String>, node: &str) -> Rc<RefCell<DecoderPlan>> {
        let wanted = Wanted { layer: self.decoders.len(), ..Wanted::default() };
        let plan = Rc::new(RefCell::new(DecoderPlan { shape, names, wanted, node: node.to_owned() }));
        self.decoders.push(Rc::clone(&plan));
        plan
    }
}

#[derive(Clone, Debug)]
enum Layer {
    Decoder(Rc<RefCell<DecoderPlan>>),
    Write(String, Slot),
}

/// What names mean at a place in the tree.
#[derive(Clone, Debug, Default)]
pub struct View {
    layers: Vec<Layer>,
    tags: Tags,
    /// What the source knows: no decoder answers for these names.
    facts: (FactNames, String),
    /// Tables that were read on the way here.
    pub tables: Tables,
}

impl View {
    /// Below a source that knows something of its events.
    pub fn of_source(facts: FactNames, source: &str) -> View {
        View { facts: (facts, source.to_owned()), ..View::default() }
    }

    /// Below a decoder.
    pub fn push_decoder(&mut self, plan: &Rc<RefCell<DecoderPlan>>) {
        self.layers.push(Layer::Decoder(Rc::clone(plan)));
        self.tags |= 0b1111;
    }

    /// A tag may be set from here on.
    pub fn push_tag(&mut self, bit: u32) {
        self.tags |= 1 << bit;
    }

    /// The slot of a name, for a node that reads it; none where it cannot exist.
    pub fn read(&self, lane: &mut Lane, name: &str, reader: &str) -> Option<Slot> {
        let slot = self.resolve(lane, name)?;
        let info = lane.slots.get_mut(usize::from(slot.0))?;
        if !info.read_by.iter().any(|r| r == reader) {
            info.read_by.push(reader.to_owned());
        }
        Some(slot)
    }

    fn resolve(&self, lane: &mut Lane, name: &str) -> Option<Slot> {
        let mut base = None;
        let mut decoders = Vec::new();
        for layer in self.layers.iter().rev() {
            match layer {
                Layer::Write(written, slot) if written == name => {
                    base = Some(*slot);
                    break;
                }
                Layer::Decoder(plan) if plan.borrow().may_yield(name) => decoders.push(plan),
                _ => {}
            }
        }
        let (facts, source) = &self.facts;
        if base.is_none() && facts.has(name) {
            return Some(lane.fact(name, source));
        }
        for plan in decoders.into_iter().rev() {
            let found = plan.borrow().wanted.fields.iter().find(|f| f.name == name && f.base == base).map(|f| f.slot);
            let slot = match found {
                Some(slot) => slot,
                None => {
                    let slot = lane.slot(name, &plan.borrow().node.clone());
                    plan.borrow_mut().wanted.fields.push(WantedField { name: name.to_owned(), slot, base });
                    slot
                }
            };
            base = Some(slot);
        }
        base
    }

    /// A new slot for a name that a node sets. Returns the slot that held it so far, and the new one.
    pub fn write(&mut self, lane: &mut Lane, name: &str, writer: &str) -> (Option<Slot>, Slot) {
        let old = self.resolve(lane, name);
        let new = lane.slot(name, writer);
        self.layers.push(Layer::Write(name.to_owned(), new));
        (old, new)
    }

    /// How whole events are written from here. Asks the decoders for all that is needed.
    pub fn event_writer(&self, lane: &mut Lane, original: bool, meta: bool) -> EventWriter {
        let mut writer = EventWriter { original, meta, tag_mask: self.tags, tag_names: lane.tags.clone(), ..EventWriter::default() };
        let decoders: Vec<Rc<RefCell<DecoderPlan>>> =
            self.layers.iter().filter_map(|l| if let Layer::Decoder(p) = l { Some(Rc::clone(p)) } else { None }).collect();
        writer.layer_nodes = lane.decoders.iter().map(|d| d.borrow().node.clone()).collect();
        let Some(first) = decoders.first() else { return writer };
        let shape = first.borrow().shape;
        writer.splice = shape == Shape::Json;
        let mut names: Vec<String> = Vec::new();
        for plan in &decoders {
            let is_base = Rc::ptr_eq(plan, first);
            let layer = plan.borrow().wanted.layer;
            match plan.borrow().shape {
                Shape::Flat(fields, _) => names.extend(fields.iter().map(|f| (*f).to_owned())),
                Shape::Named => names.extend(plan.borrow().names.iter().cloned()),
                Shape::Json => {}
            }
            if !(is_base && writer.splice) {
                plan.borrow_mut().wanted.all = true;
                writer.extra_layers.push(layer);
            }
        }
        let mut written: Vec<&String> = Vec::new();
        for layer in &self.layers {
            if let Layer::Write(name, _) = layer
                && !written.contains(&name)
            {
                written.push(name);
            }
        }
        let base_view = View { layers: self.layers.iter().take(1).cloned().collect(), tags: self.tags, ..View::default() };
        if !writer.splice {
            for name in names.iter().enumerate().filter(|(i, n)| !names[..*i].contains(n)).map(|(_, n)| n) {
                if let Some(slot) = self.resolve(lane, name) {
                    writer.fields.push(OutField::new(name, slot, None));
                }
            }
        } else {
            // Fields that a nested decoder yields under a name of its own are written as added ones.
            for name in names.iter().filter(|n| !written.contains(n)) {
                if let Some(slot) = self.resolve(lane, name) {
                    writer.added.push(OutField::new(name, slot, base_view.resolve(lane, name)));
                }
            }
        }
        for name in written {
            if writer.fields.iter().any(|f| f.name == *name) {
                continue;
            }
            if let Some(slot) = self.resolve(lane, name) {
                let place = if writer.splice { base_view.resolve(lane, name) } else { None };
                writer.added.push(OutField::new(name, slot, place));
                writer.hidden.insert(name);
            }
        }
        if writer.splice {
            writer.own_tags = base_view.resolve(lane, "tags");
        }
        // What stands in a slot is not written as an extra of a nested document too.
        writer.fields.iter().for_each(|f| writer.hidden.insert(&f.name));
        writer
    }
}
