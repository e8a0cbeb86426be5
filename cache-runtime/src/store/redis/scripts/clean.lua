-- Whether none of these was invalidated or expired since a position of the journal. Then notes them as well, where
-- that is asked for.
-- KEYS: journal. ARGV: identity, sequence of the position, most names in the journal, how many are trimmed at once,
-- 'note' or '', the names.
if redis.call('ZRANGE', KEYS[1], 0, 0)[1] ~= ARGV[1] then return 0 end
local since = tonumber(ARGV[2])
local function is_old(member)
  local score = redis.call('ZSCORE', KEYS[1], member)
  return not score or tonumber(score) <= since
end
-- Without a floor it is not known what was trimmed.
if not redis.call('ZSCORE', KEYS[1], 'f:') or not is_old('f:') then return 0 end
local names = {}
for at = 6, #ARGV do
  if not is_old('t:' .. ARGV[at]) then return 0 end
  names[#names + 1] = ARGV[at]
end
local failed = ARGV[5] == 'note' and note(KEYS[1], ARGV[3], ARGV[4], names)
return failed or 1
