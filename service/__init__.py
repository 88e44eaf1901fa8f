"""The door: HTTP API, durable jobs, webhooks, consent, audit, review page (not built yet)."""
