-- Says where the journal is, makes it if it is not there, and has it live on.
-- KEYS: journal. ARGV: random part, life in ms.
-- Members: 'i:' identity, with the lowest score; 's:' the sequence; 'f:' the floor; 't:' a tag each.
local identity = redis.call('ZRANGE', KEYS[1], 0, 0)[1]
if not identity then
  local time = redis.call('TIME')
  identity = 'i:' .. ARGV[1] .. '.' .. time[1] .. string.format('%06d', time[2])
  redis.call('ZADD', KEYS[1], -1, identity, 0, 's:', 0, 'f:')
end
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return {identity, redis.call('ZSCORE', KEYS[1], 's:') or ''}
