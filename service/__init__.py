"""The door: HTTP API, durable jobs, webhooks, consent, audit and the review page (not built yet)."""
