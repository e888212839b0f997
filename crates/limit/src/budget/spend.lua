-- Counts what an instance admitted in a window, and tells what all of them did.
--
-- KEYS[1]  a hash: the number of the window, counted since 1970, and its total.
-- ARGV     the length of a window in milliseconds, the units, and the number of the window that they
--          are of; 0 if that is not known.
--
-- Answers the number of the window of the moment, its total, the milliseconds until it is over, and
-- whether the units count in it.

local MOST = 9007199254740992

local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local window, units, given = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local state = redis.call('HMGET', KEYS[1], 'number', 'total')
local stored, total = tonumber(state[1] or 0), tonumber(state[2] or 0)
-- Where the clock went back, the window goes on.
local number = math.max((now - now % window) / window, stored)
if given == number + 1 then
    -- The clock of the instance is a bit ahead.
    number = given
end
if stored < number then
    total = 0
end
local left = (number + 1) * window - now
local counted = (given == 0 or given == number) and 1 or 0
if counted == 1 and units > 0 then
    total = math.min(total + units, MOST)
    redis.call('HSET', KEYS[1], 'number', string.format('%.0f', number), 'total', string.format('%.0f', total))
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', left + 1000))
end
return { number, total, left, counted }
