//! Text in, verdict out: checks, policies and the guardrail service.
