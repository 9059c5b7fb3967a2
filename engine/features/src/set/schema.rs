//! The JSON Schema of a feature set's file, for editors.
