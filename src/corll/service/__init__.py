"""The service: drafts over HTTP, edits as they come in, and a learner in the background."""
