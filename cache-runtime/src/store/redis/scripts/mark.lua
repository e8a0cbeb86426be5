-- Writes, whatever is there already: see replicas.rs.
-- KEYS: mark.
-- The deletion stands first because a script that has written once is no longer refused for want of memory.
redis.call('DEL', KEYS[1])
redis.call('SET', KEYS[1], '', 'PX', 1000)
return 1
