-- Notes names in a journal, if there is one. To be called before what they name is touched.
-- Works without memory: what can't be noted removes the journal, and absence means refuse. Gives the error then.
local function note(journal, most, trimmed, names)
  local function write()
    if redis.call('EXISTS', journal) == 0 then return end
    local sequence = redis.call('ZINCRBY', journal, 1, 's:')
    for _, name in ipairs(names) do redis.call('ZADD', journal, sequence, 't:' .. name) end
    if redis.call('ZCARD', journal) > tonumber(most) + 3 then
      -- The identity has the lowest score and stays; sequence and floor are written anew.
      local floor = redis.call('ZRANGE', journal, trimmed, trimmed, 'WITHSCORES')[2]
      redis.call('ZREMRANGEBYSCORE', journal, 0, floor)
      redis.call('ZADD', journal, sequence, 's:', floor, 'f:')
    end
  end
  local written, why = pcall(write)
  if written then return nil end
  redis.call('DEL', journal)
  return type(why) == 'table' and why or redis.error_reply(tostring(why))
end
