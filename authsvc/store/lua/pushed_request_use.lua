-- A browser brings a pushed authorization request: it opens it, goes on with it on our pages, or gets its code.
--
-- uses: pushed_requests unconfirmed
-- unconfirmed: pushed-request request_id client browser call_id
-- args: step request_id client browser reuse_ms:int expires:int
--
-- `step`: open, continue, spend. Whoever opens it owns it, until `expires`; no other browser goes on with it. It gives one
-- code: after that it is over, but for `reuse_ms` on the page whose form was sent twice.
-- Replies {query}, or nothing for a request that can't be used

local k = key('pushed-request', request_id)
local request = read(PUSHED_REQUEST, k)
if not request or request.client ~= client or tonumber(request.expires) <= now then return reply({}) end
if request.browser ~= browser and not (step == 'open' and request.browser == '') then return reply({}) end
local again = false
if request.used ~= '' and request.using_call ~= call_id then
  again = (step == 'spend' and take_unconfirmed or peek_unconfirmed)(request.using_call)
  if not again and now - tonumber(request.used) >= reuse_ms then return reply({}) end
end
if request.browser == '' then
  request.browser, request.expires = browser, expires
  write(PUSHED_REQUEST, k, request, expires)
end
if step == 'spend' and request.using_call ~= call_id then
  -- The time for a form that was sent twice runs from the code that went out.
  if again or request.used == '' then request.used = now_text end
  request.using_call = call_id
  rewrite(PUSHED_REQUEST, k, request)
end
return reply({query = request.query})
