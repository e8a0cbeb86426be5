-- Removes a value, if it is still the one the caller judged.
-- KEYS: value. ARGV: judged head, judged length.
if redis.call('STRLEN', KEYS[1]) == tonumber(ARGV[2])
  and redis.call('GETRANGE', KEYS[1], 0, #ARGV[1] - 1) == ARGV[1] then
  return redis.call('DEL', KEYS[1])
end
return 0
