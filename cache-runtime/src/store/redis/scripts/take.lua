-- Takes the lease, provided that the value is still the one the caller judged and nobody computes.
-- Nor is it granted to who has gone: a server that stood still carries out what waited for it meanwhile.
-- KEYS: value, lease. ARGV: when nobody waits for it any more in ms or '', judged head, judged length, token, lease
-- life in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' and now > tonumber(ARGV[1]) then return {'late', '', now} end
local lease = redis.call('GET', KEYS[2])
-- The same request may run twice: its own lease is recognised by the random part.
if lease and string.sub(lease, 1, #ARGV[4]) == ARGV[4] then
  return {'granted', lease, now}
end
if redis.call('STRLEN', KEYS[1]) ~= tonumber(ARGV[3])
  or (#ARGV[2] > 0 and redis.call('GETRANGE', KEYS[1], 0, #ARGV[2] - 1) ~= ARGV[2]) then
  return {'changed', '', now}
end
local failures = '0'
if lease then
  local till, count = string.match(lease, '^pass%.(%d+)%.(%d+)%.')
  if not till then return {'held', lease, now} end
  if now < tonumber(till) then return {'pass', lease, now} end
  failures = count
end
local content = ARGV[4] .. '.' .. time[1] .. string.format("%06d", time[2]) .. '.' .. failures
redis.call('SET', KEYS[2], content, 'PX', ARGV[5])
return {'granted', content, now}
