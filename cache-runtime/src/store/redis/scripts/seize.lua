-- Takes the lease away from whoever holds it; with a version, only if no newer one has done so. For what is newer
-- than all that was begun before it notes the key in the journal, where that lies beside it. Who has gone gets nothing.
-- KEYS: lease, where the version is noted, the journal; the last two as they are asked for. ARGV: when nobody waits
-- for it any more in ms or '', token, lease life in ms, version or '', its life in ms; where the journal is given: most
-- names in it, how many are trimmed at once, the key's name.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[1] ~= '' and now > tonumber(ARGV[1]) then return {'late', '', now} end
if ARGV[4] ~= '' then
    local newest = redis.call('GET', KEYS[2])
    if newest and newest > ARGV[4] then
        return {'older', '', now}
    end
    redis.call('SET', KEYS[2], ARGV[4], 'PX', ARGV[5])
end
if ARGV[6] then note(KEYS[#KEYS], ARGV[6], ARGV[7], {ARGV[8]}) end
local content = ARGV[2] .. '.' .. time[1] .. string.format("%06d", time[2]) .. '.0'
redis.call('SET', KEYS[1], content, 'PX', ARGV[3])
return {'granted', content, now}
