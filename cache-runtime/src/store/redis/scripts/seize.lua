-- Takes the lease away from whoever holds it; with a version, only if no newer one has done so. For what is newer
-- than all that was begun before it notes the key in the journal.
-- KEYS: lease, value, journal, and with a version where that is noted. ARGV: token, lease life in ms, 'newer' or
-- 'judged', most names in the journal, how many are trimmed at once; version, its life in ms.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if KEYS[4] then
    local newest = redis.call('GET', KEYS[4])
    if newest and newest > ARGV[6] then
        return {'older', '', now}
    end
    redis.call('SET', KEYS[4], ARGV[6], 'PX', ARGV[7])
end
if ARGV[3] == 'newer' then note(KEYS[3], ARGV[4], ARGV[5], {KEYS[2]}) end
local content = ARGV[1] .. '.' .. time[1] .. string.format("%06d", time[2]) .. '.0'
redis.call('SET', KEYS[1], content, 'PX', ARGV[2])
return {'granted', content, now}
