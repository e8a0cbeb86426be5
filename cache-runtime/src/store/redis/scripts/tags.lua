-- Invalidates tags: removes their nonces. Or expires them: counts the nonces up, so that what carries them
-- is stale. Before that it notes the tags in the journal, if there is one.
-- KEYS: journal, tags. ARGV: 'invalidate' or 'expire', most tags in the journal, how many are trimmed at
-- once, the tags' names.
-- Works without memory: what can't be written is removed, and absence means refuse.
local function note()
  if redis.call('EXISTS', KEYS[1]) == 0 then return end
  local sequence = redis.call('ZINCRBY', KEYS[1], 1, 's:')
  for at = 4, #ARGV do redis.call('ZADD', KEYS[1], sequence, 't:' .. ARGV[at]) end
  if redis.call('ZCARD', KEYS[1]) > tonumber(ARGV[2]) + 3 then
    -- The identity has the lowest score and stays; sequence and floor are written anew.
    local floor = redis.call('ZRANGE', KEYS[1], ARGV[3], ARGV[3], 'WITHSCORES')[2]
    redis.call('ZREMRANGEBYSCORE', KEYS[1], 0, floor)
    redis.call('ZADD', KEYS[1], sequence, 's:', floor, 'f:')
  end
end
if not pcall(note) then redis.call('DEL', KEYS[1]) end
for at = 2, #KEYS do
  local nonce = ARGV[1] == 'expire' and redis.pcall('GET', KEYS[at])
  local written = nil
  if type(nonce) == 'string' then
    local base, count = string.match(nonce, '^(.*)~(%d+)$')
    local next = (base or nonce) .. '~' .. string.format('%d', tonumber(count or '0') + 1)
    written = redis.pcall('SET', KEYS[at], next, 'KEEPTTL')
  end
  if not (written and written.ok) then redis.call('DEL', KEYS[at]) end
end
return 1
