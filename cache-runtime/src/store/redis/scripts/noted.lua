-- Notes names in a journal that lies on another node than what they name, which is touched behind this.
-- KEYS: journal. ARGV: most names in the journal, how many are trimmed at once, the names.
local names = {}
for at = 3, #ARGV do names[#names + 1] = ARGV[at] end
-- What could not be noted has removed the journal, and so refuses as well.
note(KEYS[1], ARGV[1], ARGV[2], names)
return 1
