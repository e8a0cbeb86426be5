-- Stores an entry and ends the lease, if it is still exactly the caller's. Absence means refuse.
-- A live entry of another fingerprint is kept behind; both then end at the earlier of their ends. Not so where this one
-- is to stand alone.
-- KEYS: value, lease. ARGV: content, entry, end in ms, fingerprint, 'alone' or ''. Offsets: see entry.rs.
if redis.call('GET', KEYS[2]) ~= ARGV[1] then return 'refused' end
local time = redis.call('TIME')
local ends = tonumber(ARGV[3])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
if now >= ends then return 'late' end
local behind = ''
local size = redis.call('STRLEN', KEYS[1])
local from = 0
for _ = 1, 2 do
  if ARGV[5] == 'alone' or from + 68 > size then break end
  local head = redis.call('GETRANGE', KEYS[1], from, from + 47)
  if string.sub(head, 1, 4) ~= 'rce\1' then break end
  local length = struct.unpack('<I4', head, 5)
  if length < 68 or from + length > size then break end
  if string.sub(head, 41, 48) ~= ARGV[4] then
    local low, high = struct.unpack('<I4I4', head, 33)
    local kept = high * 4294967296 + low
    if kept > now then
      behind = redis.call('GETRANGE', KEYS[1], from, from + length - 1)
      ends = math.min(ends, kept)
    end
    break
  end
  from = from + length
end
redis.call('SET', KEYS[1], ARGV[2] .. behind, 'PXAT', string.format('%d', ends))
redis.call('DEL', KEYS[2])
return 'stored'
