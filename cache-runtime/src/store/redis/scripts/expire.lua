-- Ends the lease and makes every entry under the key due at once. Offsets: see entry.rs.
-- KEYS: value, lease, and the journal where it lies beside them. ARGV: most names in the journal, how many are trimmed
-- at once.
if KEYS[3] then note(KEYS[3], ARGV[1], ARGV[2], {KEYS[1]}) end
-- The deletion stands before what writes also because a script that has written once is no longer refused for
-- want of memory.
redis.call('DEL', KEYS[2])
local size = redis.call('STRLEN', KEYS[1])
local from = 0
for _ = 1, 2 do
  if from + 76 > size then break end
  local head = redis.call('GETRANGE', KEYS[1], from, from + 7)
  if string.sub(head, 1, 4) ~= 'rce\1' then break end
  local length = struct.unpack('<I4', head, 5)
  if length < 76 or from + length > size then break end
  redis.call('SETRANGE', KEYS[1], from + 16, string.rep('\0', 8))
  from = from + length
end
return 1
