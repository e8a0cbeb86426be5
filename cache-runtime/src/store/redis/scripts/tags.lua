-- Invalidates tags: removes their nonces. Or expires them: counts the nonces up, so that what carries them
-- is stale. Before that it notes the tags in the journal, where that lies beside them.
-- KEYS: tags, and then the journal. ARGV: 'invalidate' or 'expire'; where the journal is given: most names in it, how
-- many are trimmed at once, the tags' names.
-- Works without memory: what can't be written is removed.
local tags = #KEYS
if ARGV[2] then
  tags = tags - 1
  local names = {}
  for at = 4, #ARGV do names[#names + 1] = ARGV[at] end
  note(KEYS[#KEYS], ARGV[2], ARGV[3], names)
end
for at = 1, tags do
  local nonce = ARGV[1] == 'expire' and redis.pcall('GET', KEYS[at])
  local written = nil
  if type(nonce) == 'string' then
    local base, count = string.match(nonce, '^(.*)~(%d+)$')
    local next = (base or nonce) .. '~' .. string.format('%d', tonumber(count or '0') + 1)
    written = redis.pcall('SET', KEYS[at], next, 'KEEPTTL')
  end
  if not (written and written.ok) then redis.call('DEL', KEYS[at]) end
end
return 1
