-- Takes the lease away from whoever holds it; with a version, only if no newer one has done so.
-- KEYS: lease, and with a version where that is noted. ARGV: token, lease life in ms; version, its life in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if KEYS[2] then
    local newest = redis.call('GET', KEYS[2])
    if newest and newest > ARGV[3] then
        return {'older', '', now}
    end
    redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
end
local content = ARGV[1] .. '.' .. time[1] .. string.format("%06d", time[2]) .. '.0'
redis.call('SET', KEYS[1], content, 'PX', ARGV[2])
return {'granted', content, now}
