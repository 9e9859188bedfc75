//! Token frames between roles of one process: heard when they are made, while the log gets them a moment later.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use schemas::IngressId;
use schemas::v1::FrameEntry;

type Listener = Arc<dyn Fn(u64, Vec<FrameEntry>) + Send + Sync>;
type Listeners = Arc<RwLock<HashMap<IngressId, Listener>>>;

/// The api nodes of this process. Clones share it.
#[derive(Clone, Default)]
pub struct LocalFrames {
    listeners: Listeners,
}

/// Keeps a node in [`LocalFrames`] until dropped.
pub struct LocalListening {
    listeners: Listeners,
    ingress: IngressId,
}

impl Drop for LocalListening {
    fn drop(&mut self) {
        self.listeners.write().unwrap_or_else(PoisonError::into_inner).remove(&self.ingress);
    }
}

impl LocalFrames {
    /// Has `hear` called with the step and the entries of every frame for `ingress`; it must not wait for anything. What it
    /// hears here comes through the broker too.
    pub fn listen(
        &self,
        ingress: IngressId,
        hear: impl Fn(u64, Vec<FrameEntry>) + Send + Sync + 'static,
    ) -> LocalListening {
        let mut listeners = self.listeners.write().unwrap_or_else(PoisonError::into_inner);
        listeners.insert(ingress.clone(), Arc::new(hear));
        drop(listeners);
        LocalListening { listeners: Arc::clone(&self.listeners), ingress }
    }

    /// Has a node hear a step's entries; false if it is not of this process.
    pub fn deliver(&self, ingress: &IngressId, step: u64, entries: &[FrameEntry]) -> bool {
        let listeners = self.listeners.read().unwrap_or_else(PoisonError::into_inner);
        let Some(hear) = listeners.get(ingress).cloned() else { return false };
        drop(listeners);
        hear(step, entries.to_vec());
        true
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn a_node_hears_its_frames_as_long_as_it_listens() {
        let frames = LocalFrames::default();
        let ingress = IngressId::slug("here");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        let listening = frames.listen(ingress.clone(), move |step, entries| {
            sink.lock().unwrap().push((step, entries.len()));
        });
        assert!(frames.clone().deliver(&ingress, 7, &[FrameEntry::default()]));
        assert!(!frames.deliver(&IngressId::slug("elsewhere"), 8, &[FrameEntry::default()]));
        drop(listening);
        assert!(!frames.deliver(&ingress, 9, &[FrameEntry::default()]));
        assert_eq!(*heard.lock().unwrap(), [(7, 1)]);
    }
}
