-- What a server of the fleet does with the entry of one link. An entry is text:
--   '-' and a value, or 'L', the token of whoever holds its lock, when the lock ends, and perhaps a value;
--   a value is when it ends, and what a server has written.
-- Times are milliseconds by the clock of Redis, 13 digits. The entry itself lasts as long as its value and its lock.
-- Only whoever still holds the lock writes a value; `forget` takes the lock away together with the value, so
-- whoever read the store before an edit writes nothing after it.
--
-- KEYS[1]: the entry. ARGV: what to do, a token of 16 characters, milliseconds, a value, a channel, a message.
-- Answers a number, milliseconds, and a value.
local entry, todo, token = KEYS[1], ARGV[1], ARGV[2]
local span = tonumber(ARGV[3])

local function tell()
    if ARGV[5] ~= '' then
        redis.call('PUBLISH', ARGV[5], ARGV[6])
    end
end

if todo == 'forget' then
    local there = redis.call('DEL', entry)
    tell()
    return { there, 0, '' }
end

local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local held = redis.call('GET', entry) or '-'
local holder, locked, value = '', 0, string.sub(held, 2)
if string.sub(held, 1, 1) == 'L' then
    holder = string.sub(held, 2, 17)
    locked = math.max(0, tonumber(string.sub(held, 18, 30)) - now)
    value = string.sub(held, 31)
end
local left = 0
if value ~= '' then
    left = tonumber(string.sub(value, 1, 13)) - now
end
if left <= 0 then
    left, value = 0, ''
end

local function write(head, body, lasts)
    redis.call('SET', entry, head .. body, 'PX', lasts)
end
local function ends(after)
    return string.format('%013d', now + after)
end

if todo == 'put' then
    if holder ~= token then
        return { 0, 0, '' }
    end
    write('-', ends(span) .. ARGV[4], span)
    tell()
    return { 1, span, '' }
end

if todo == 'free' then
    if holder ~= token then
        return { 0, 0, '' }
    end
    if value == '' then
        redis.call('DEL', entry)
    else
        write('-', value, left)
    end
    return { 1, 0, '' }
end

-- read: the value, or the lock if there is none. refresh: the lock, if nobody has it.
-- take: the lock, whoever has it.
if todo == 'read' and left > 0 then
    return { 2, left, string.sub(value, 14) }
end
if todo ~= 'take' and locked > 0 then
    return { 0, locked, '' }
end
write('L' .. token .. ends(span), value, math.max(span, left))
return { 1, span, '' }
