//! Writing the parameters of methods, for whoever calls an agent.

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

use super::{View, entry};
use crate::{
    ContextParams, FeedbackParams, ListParams, PushParams, PushSetParams, SendConfiguration,
    SendParams, TaskParams,
};

impl Serialize for View<'_, SendParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let params = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("message", &self.of(&params.message))?;
        // The reference refuses a request without it.
        if !self.is_a2a() || has_a2a_members(&params.configuration) {
            map.serialize_entry("configuration", &self.of(&params.configuration))?;
        }
        entry(&mut map, "metadata", params.metadata.as_ref())?;
        map.end()
    }
}

fn has_a2a_members(configuration: &SendConfiguration) -> bool {
    let SendConfiguration {
        accepted_output_modes,
        blocking,
        history_length,
        push,
        long_running: _,
    } = configuration;
    !accepted_output_modes.is_empty()
        || blocking.is_some()
        || history_length.is_some()
        || push.is_some()
}

impl Serialize for View<'_, SendConfiguration> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (configuration, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        let modes = &configuration.accepted_output_modes;
        if !self.is_a2a() || !modes.is_empty() {
            map.serialize_entry(names.accepted_output_modes, modes)?;
        }
        entry(&mut map, "blocking", configuration.blocking.as_ref())?;
        entry(&mut map, names.history_length, configuration.history_length.as_ref())?;
        let push = configuration.push.as_ref().map(|push| self.of(push));
        entry(&mut map, names.push_config, push.as_ref())?;
        if !self.is_a2a() {
            entry(&mut map, "long_running", configuration.long_running.as_ref())?;
        }
        map.end()
    }
}

impl Serialize for View<'_, TaskParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (params, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names.of_task, &params.id)?;
        entry(&mut map, names.history_length, params.history_length.as_ref())?;
        entry(&mut map, "metadata", params.metadata.as_ref())?;
        map.end()
    }
}

/// A method that only the reference has: in its spelling, whatever the dialect.
impl Serialize for View<'_, ListParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let params = self.value;
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, "history_length", params.history_length.as_ref())?;
        entry(&mut map, "context_id", params.context_id.as_ref())?;
        entry(&mut map, "page_size", params.page_size.as_ref())?;
        entry(&mut map, "page_token", params.page_token.as_ref())?;
        entry(&mut map, "metadata", params.metadata.as_ref())?;
        map.end()
    }
}

/// As for [`ListParams`].
impl Serialize for View<'_, FeedbackParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let params = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("task_id", &params.id)?;
        map.serialize_entry("feedback", &params.feedback)?;
        entry(&mut map, "rating", params.rating.as_ref())?;
        entry(&mut map, "metadata", params.metadata.as_ref())?;
        map.end()
    }
}

/// As for [`ListParams`].
impl Serialize for View<'_, ContextParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let params = self.value;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("context_id", &params.id)?;
        entry(&mut map, "metadata", params.metadata.as_ref())?;
        map.end()
    }
}

impl Serialize for View<'_, PushSetParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (params, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(names.push_task_id, &params.task_id)?;
        map.serialize_entry(names.push_config, &self.of(&params.config))?;
        if !self.is_a2a() {
            entry(&mut map, "long_running", params.long_running.as_ref())?;
        }
        map.end()
    }
}

impl Serialize for View<'_, PushParams> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (params, names) = (self.value, self.names());
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("id", &params.task_id)?;
        if !self.is_a2a() {
            // The reference wants this name in `get` and the other in `list` and `delete`, and
            // skips the one that it does not want.
            map.serialize_entry("task_id", &params.task_id)?;
        }
        entry(&mut map, names.push_config_id, params.config_id.as_ref())?;
        entry(&mut map, "metadata", params.metadata.as_ref())?;
        map.end()
    }
}
