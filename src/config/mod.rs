//! `transom.yaml` → a checked [`Config`]. Nothing starts from one that has an error.
