-- Marks that the computation under this lease ended without a value to store; each time in a row
-- doubles the span. It says whether the old value is served meanwhile; that goes where the new one is not to be stored.
-- KEYS: lease, value. ARGV: content, first span in ms, longest span in ms, 'serves', 'stays' or 'goes'.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
-- The deletion stands first also because a script that has written once is no longer refused for want
-- of memory.
if ARGV[4] == 'goes' then redis.call('DEL', KEYS[2]) end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local failures = tonumber(string.match(ARGV[1], '%.(%d+)$')) + 1
local span = math.min(tonumber(ARGV[2]) * 2 ^ math.min(failures - 1, 20), tonumber(ARGV[3]))
local content = string.format('pass.%d.%d.%s', now + span, failures, ARGV[4])
redis.call('SET', KEYS[1], content, 'PX', string.format('%d', span * 2))
return 1
