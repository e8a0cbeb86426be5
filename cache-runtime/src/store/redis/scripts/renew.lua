-- Extends the lease, if it is still exactly the caller's.
-- KEYS: lease. ARGV: content, lease life in ms.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
