//! What a component is: the traits of sources, operators, rules and sinks, and how one is bound to a plan.
//!
//! Batching into bodies, retry, limits and acknowledgement are the runtime's. A component does its trade and nothing else.
pub mod bind;
pub mod correlator;
pub mod list_write;
pub mod operator;
pub mod sink;
pub mod source;
pub mod view;

pub use bind::{Bind, Kind, OutputNames, Reload};
pub use correlator::{Correlator, Extractor, HitBatch, HitRef};
pub use operator::{Operator, Outputs};
pub use sink::{Body, Outage, Sink};
pub use source::{Fill, Source};
pub use view::{Lane, View};

/// What a source claims for the position of a barrier, for a sink of the same system that commits it together with what it wrote. Both know its type.
pub type Claim = std::sync::Arc<dyn std::any::Any + Send + Sync>;

/// A future that is boxed once per batch or body.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
