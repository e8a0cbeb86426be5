-- Whether none of the tags was invalidated or expired since a position of the journal.
-- KEYS: journal. ARGV: identity, sequence of the position, the tags' names.
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] ~= ARGV[1] then return 0 end
local since = tonumber(ARGV[2])
local function is_old(member)
  local score = redis.call('ZSCORE', KEYS[1], member)
  return not score or tonumber(score) <= since
end
-- Without a floor it is not known what was trimmed.
if not redis.call('ZSCORE', KEYS[1], 'f:') or not is_old('f:') then return 0 end
for at = 3, #ARGV do
  if not is_old('t:' .. ARGV[at]) then return 0 end
end
return 1
