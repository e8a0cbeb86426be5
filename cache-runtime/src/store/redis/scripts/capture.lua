-- Says what the nonces of some tags are, makes those that are missing, and has all of them live on.
-- KEYS: tags. ARGV: random part, life in ms.
-- May run twice, and late: the server's time makes what the second run stores another nonce.
local time = redis.call('TIME')
local fresh = ARGV[1] .. '.' .. time[1] .. string.format('%06d', time[2])
local nonces = {}
for at, tag in ipairs(KEYS) do
  local nonce = redis.call('GET', tag)
  if nonce then
    redis.call('PEXPIRE', tag, ARGV[2], 'GT')
  else
    nonce = fresh
    redis.call('SET', tag, nonce, 'PX', ARGV[2])
  end
  nonces[at] = nonce
end
return nonces
