"""OAuth 2.0 and OpenID Connect endpoints, discovery documents, the revocation feed, and forward-auth for gateways."""
