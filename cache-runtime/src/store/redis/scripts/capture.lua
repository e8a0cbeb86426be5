-- Says what the nonces of some tags are, makes those that are missing, and has all of them live on.
-- KEYS: tags. ARGV: random part, life in ms.
-- May run twice, and late: the server's time makes what the second run stores another nonce.
local time = redis.call('TIME')
local fresh = ARGV[1] .. '.' .. time[1] .. string.format('%06d', time[2])
local life = tonumber(ARGV[2])
-- A quarter more than is asked for, so that a tag is not written anew for each computation: what is written the server tells
-- to all who have near copies of entries with it.
local longer = string.format('%.0f', life + math.floor(life / 4))
local nonces = {}
for at, tag in ipairs(KEYS) do
  local nonce = redis.call('GET', tag)
  if nonce then
    local rest = redis.call('PTTL', tag)
    if rest >= 0 and rest < life then
      redis.call('PEXPIRE', tag, longer)
    end
  else
    nonce = fresh
    redis.call('SET', tag, nonce, 'PX', longer)
  end
  nonces[at] = nonce
end
return nonces
