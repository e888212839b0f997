-- Notes that an instance is there, or leaves, and counts those that are there: answers how many.
--
-- KEYS[1]  a sorted set: each instance, and the moment until which it counts, in milliseconds since
--          1970.
-- ARGV     the instance, and for how many milliseconds it counts; 0 if it leaves.

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local lasts = tonumber(ARGV[2])
if lasts > 0 then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now + lasts), ARGV[1])
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
else
    redis.call('ZREM', KEYS[1], ARGV[1])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return { redis.call('ZCARD', KEYS[1]) }
