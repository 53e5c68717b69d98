-- authorization-code:<digest>  record; of a browser session `session`, of a link `link`, `patient`, `workflow`,
--                              `resource`, `channel` and `authenticated` (when it was redeemed). Once redeemed: `result`,
--                              the sid or the jti that it gave, and the `redeeming_call`
-- pending-link:<digest>        record: a redeemed instant link that waits for its client; then the digest of the `code`
--                              that it gave, to the `issuing_call`

local AUTHORIZATION_CODE = fields{'client', 'redirect_uri', 'code_challenge', 'nonce', 'scope', 'expires', 'session', 'link',
  'patient', 'workflow', 'resource', 'channel', 'authenticated', 'result', 'redeeming_call', 'dpop_jkt'}
local PENDING = fields{'link', 'patient', 'workflow', 'resource', 'channel', 'browser', 'client', 'redeemed', 'expires',
  'code', 'issuing_call'}
local STOLEN_MS = 600000  -- a spent code is remembered for this long, so that a stolen one that comes late is known
