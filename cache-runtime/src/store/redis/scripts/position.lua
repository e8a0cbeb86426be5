-- Says where a journal is, makes it if it is not there, and has it live on.
-- KEYS: journal. ARGV: random part, life in ms.
-- Members: 'i:' identity, with the lowest score; 's:' the sequence; 'f:' the floor; 't:' a name each.
local identity = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
local time = redis.call('TIME')
if not identity then
  identity = 'i:' .. ARGV[1] .. '.' .. time[1] .. string.format('%06d', time[2])
  redis.call('ZADD', KEYS[1], -1, identity, 0, 's:', 0, 'f:')
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
return {identity, redis.call('ZSCORE', KEYS[1], 's:') or '', now}
