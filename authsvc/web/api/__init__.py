"""The calls of practice services, below `/v1/practices`, and their OpenAPI description."""
