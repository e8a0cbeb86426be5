-- Gives a lease back, if it is still the caller's.
-- KEYS: lease. ARGV: content or its beginning, '1' where only the beginning is known.
local lease = redis.call('GET', KEYS[1])
if not lease then return 0 end
if lease == ARGV[1] or (ARGV[2] == '1' and string.sub(lease, 1, #ARGV[1]) == ARGV[1]) then
  return redis.call('DEL', KEYS[1])
end
return 0
