-- Asks authsvc whether the request may pass. The address stands in txn.ask; see ask.cfg.
-- Only the Authorization header is sent: no cookie of your service, no body. On 200 the eight X-Auth headers are set on
-- the request; any other answer is the client's answer; no answer is a 503. An error in here is a refusal too.

local PATIENCE_MS = 1000 -- for one try; HAProxy 2.6 makes four and has no setting for that
local TOLD = {"subject", "practice", "patient", "scope", "acr", "session", "resource", "actor"}

local function unavailable(txn)
  txn:done(txn:reply{status = 503, headers = {["retry-after"] = {"5"}}})
end

core.register_action("authsvc", {"http-req"}, function(txn)
  local sent = txn.http:req_get_headers()["authorization"]
  if sent and sent[1] then -- there was a second one
    return txn:done(txn:reply{status = 400})
  end
  local headers = sent and {authorization = {sent[0]}} or {}
  local answer = core.httpclient():get{url = txn:get_var("txn.ask"), headers = headers, timeout = PATIENCE_MS}
  if not answer or (answer.status ~= 200 and answer.status ~= 401 and answer.status ~= 403) then
    return unavailable(txn)
  end
  if answer.status ~= 200 then
    return txn:done(txn:reply{
      status = answer.status,
      headers = {
        ["content-type"] = answer.headers["content-type"] or {},
        ["www-authenticate"] = answer.headers["www-authenticate"] or {},
        ["cache-control"] = {"no-store"},
      },
      body = answer.body,
    })
  end
  for _, name in ipairs(TOLD) do
    local value = answer.headers["x-auth-" .. name]
    if not value then -- whoever answered, it was not authsvc
      return unavailable(txn)
    end
    txn.http:req_set_header("X-Auth-" .. name:gsub("^%l", string.upper), value[0])
  end
end)
