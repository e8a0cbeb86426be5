-- Stores an entry and ends the lease, if it is still exactly the caller's. Absence means refuse.
-- A live entry of another fingerprint is kept behind; both then end at the earlier of their ends. Not so where this one
-- is to stand alone.
-- KEYS: value, lease. ARGV: content, entry, fingerprint, 'alone' or ''. Offsets: see entry.rs.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'refused' end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local function time_at(entry, at)
  local low, high = struct.unpack('<I4I4', entry, at + 1)
  return high * 4294967296 + low
end
-- By its ttl, also where it would be kept for longer.
if now >= time_at(ARGV[2], 32) then return 'late' end
local ends = time_at(ARGV[2], 68)
local behind = ''
local size = redis.call('STRLEN', KEYS[1])
local from = 0
for _ = 1, 2 do
  if ARGV[4] == 'alone' or from + 76 > size then break end
  local head = redis.call('GETRANGE', KEYS[1], from, from + 75)
  if string.sub(head, 1, 4) ~= 'rce\1' then break end
  local length = struct.unpack('<I4', head, 5)
  if length < 76 or from + length > size then break end
  if string.sub(head, 41, 48) ~= ARGV[3] then
    -- Nobody has checked it: what ends before its ttl does is damaged, and would take this one with it.
    if time_at(head, 32) > now and time_at(head, 68) >= time_at(head, 32) then
      behind = redis.call('GETRANGE', KEYS[1], from, from + length - 1)
      ends = math.min(ends, time_at(head, 68))
    end
    break
  end
  from = from + length
end
redis.call('SET', KEYS[1], ARGV[2] .. behind, 'PXAT', string.format('%d', ends))
redis.call('DEL', KEYS[2])
return 'stored'
