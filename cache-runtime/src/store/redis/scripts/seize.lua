-- Takes the lease away from whoever holds it.
-- KEYS: lease. ARGV: token, lease life in ms.
local time = redis.call('TIME')
local content = ARGV[1] .. '.' .. time[1] .. string.format("%06d", time[2]) .. '.0'
redis.call('SET', KEYS[1], content, 'PX', ARGV[2])
return {'granted', content, time[1] * 1000 + math.floor(time[2] / 1000)}
