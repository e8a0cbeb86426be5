-- Takes the lease away from whoever holds it; with a version, only if no newer one has done so. For what is newer
-- than all that was begun before it notes the key in the journal, where that lies beside it.
-- KEYS: lease, where the version is noted, the journal; the last two as they are asked for. ARGV: token, lease life in
-- ms, version or '', its life in ms; where the journal is given: most names in it, how many are trimmed at once, the
-- key's name.
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if ARGV[3] ~= '' then
    local newest = redis.call('GET', KEYS[2])
    if newest and newest > ARGV[3] then
        return {'older', '', now}
    end
    redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[4])
end
if ARGV[5] then note(KEYS[#KEYS], ARGV[5], ARGV[6], {ARGV[7]}) end
local content = ARGV[1] .. '.' .. time[1] .. string.format("%06d", time[2]) .. '.0'
redis.call('SET', KEYS[1], content, 'PX', ARGV[2])
return {'granted', content, now}
