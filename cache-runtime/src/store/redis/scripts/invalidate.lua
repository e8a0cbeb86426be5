-- Invalidates keys: removes the lease and the value of each. Before that it notes them in the journal.
-- KEYS: journal, then lease and value of each. ARGV: most names in the journal, how many are trimmed at once.
local names = {}
for at = 3, #KEYS, 2 do names[#names + 1] = KEYS[at] end
note(KEYS[1], ARGV[1], ARGV[2], names)
for at = 2, #KEYS do redis.call('DEL', KEYS[at]) end
return 1
